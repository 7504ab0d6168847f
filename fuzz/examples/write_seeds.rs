//! Writes the seeds of every target to `corpus/`, from which cargo-fuzz starts.

use std::path::Path;
use std::{fs, io};

use tureen_fuzz::seeds;

fn main() -> io::Result<()> {
    let targets = [
        ("stun", seeds::stun()),
        ("rtp", seeds::rtp()),
        ("rtcp", seeds::rtcp()),
        ("codecs", seeds::codecs()),
        ("frames", seeds::frames()),
        ("ivf", seeds::ivf()),
        ("ogg", seeds::ogg()),
        ("annexb", seeds::annexb()),
        ("matroska", seeds::matroska()),
        ("mp4", seeds::mp4()),
        ("srtp", seeds::srtp()),
        ("dtls_datagram", seeds::dtls_datagram()),
        ("sctp", seeds::sctp()),
        ("worker_datagrams", seeds::worker_datagrams()),
        ("channel", seeds::channel()),
        ("channel_json", seeds::channel_json()),
    ];
    for (target, inputs) in targets {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
        fs::create_dir_all(&folder)?;
        for (number, input) in inputs.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), input)?;
        }
    }
    Ok(())
}
