//! The readers of media files.

use tureen_containers::{Format, MAX_FRAME_LEN, Options, Source, read};

/// Frames that are read of one file, at most: a table of some bytes can describe billions.
const MAX_FRAMES: usize = 2_000;

/// Reads `data` as an IVF file.
pub fn fuzz_ivf(data: &[u8]) {
    run(Format::Ivf, begun(b"DKIF", data));
}

/// Reads `data` as an Ogg file, whose checksums are made right.
pub fn fuzz_ogg(data: &[u8]) {
    let mut file = begun(b"OggS", data);
    make_checksums_right(&mut file);
    run(Format::Ogg, file);
}

/// Reads `data` as an H264 or H265 byte stream.
pub fn fuzz_annexb(data: &[u8]) {
    run(Format::AnnexB, begun(&[0, 0, 0, 1], data));
}

/// Reads `data` as a Matroska file.
pub fn fuzz_matroska(data: &[u8]) {
    run(Format::Matroska, begun(&[0x1a, 0x45, 0xdf, 0xa3], data));
}

/// Reads `data` as an MP4 file.
pub fn fuzz_mp4(data: &[u8]) {
    let mut file = data.to_vec();
    if let Some(kind) = file.get_mut(4..8) {
        kind.copy_from_slice(b"ftyp");
    }
    run(Format::Mp4, file);
}

/// The file, with the bytes by which it is recognised.
fn begun(magic: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut file = data.to_vec();
    file.resize(file.len().max(4), 0);
    file[..4].copy_from_slice(magic);
    file
}

/// Reads all frames, and those of the start once more. Returns their number.
fn run(format: Format, file: Vec<u8>) -> usize {
    let len = file.len() as u64;
    let options = Options { frame_rate: Some(30.0) };
    let Ok(mut source) = read("fuzz", file.into(), options) else { return 0 };
    assert_eq!(source.format(), format);
    assert!(!source.tracks().is_empty());
    let (first, count) = frames(&mut source, len);
    if source.rewind().is_ok() {
        assert_eq!(source.next_frame().ok().flatten(), first, "the start again");
    }
    count
}

fn frames(source: &mut Source, len: u64) -> (Option<tureen_containers::Frame>, usize) {
    let (mut first, mut count) = (None, 0);
    let mut times = vec![None; source.tracks().len()];
    while count < MAX_FRAMES
        && let Ok(Some(frame)) = source.next_frame()
    {
        assert!(!frame.data.is_empty());
        // Parameter sets are put in front, and start codes are longer than lengths of one byte.
        assert!(frame.data.len() as u64 <= 4 * len + 70_000 && frame.data.len() as u64 <= 2 * MAX_FRAME_LEN);
        assert_eq!(frame.codec, source.tracks()[frame.track].codec);
        let last = times[frame.track].replace(frame.time);
        assert!(last.is_none_or(|last| last < frame.time), "{last:?} before {:?}", frame.time);
        first.get_or_insert(frame);
        count += 1;
    }
    (first, count)
}

/// RFC 3533 §6: the checksum of each page that is found by its length.
fn make_checksums_right(file: &mut [u8]) {
    let mut at = 0;
    while let Some(header) = file.get(at..at + 27) {
        let segments = usize::from(header[26]);
        let Some(table) = file.get(at + 27..at + 27 + segments) else { return };
        let body: usize = table.iter().map(|&len| usize::from(len)).sum();
        let Some(page) = file.get_mut(at..at + 27 + segments + body) else { return };
        page[22..26].fill(0);
        let checksum = checksum(page);
        page[22..26].copy_from_slice(&checksum.to_le_bytes());
        at += page.len();
    }
}

fn checksum(page: &[u8]) -> u32 {
    page.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << 24, |crc: u32, _| {
            if crc >> 31 == 1 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seeds;

    /// Seeds that are refused would test only the beginning of a reader.
    #[test]
    fn the_seeds_of_each_format_have_frames() {
        let formats = [
            (Format::Ivf, seeds::ivf()),
            (Format::Ogg, seeds::ogg()),
            (Format::AnnexB, seeds::annexb()),
            (Format::Matroska, seeds::matroska()),
            (Format::Mp4, seeds::mp4()),
        ];
        for (format, seeds) in formats {
            for (at, seed) in seeds.into_iter().enumerate() {
                assert!(run(format, seed) >= 20, "{format:?} {at}");
            }
        }
    }

    #[test]
    fn checksums_are_those_of_the_files() {
        for seed in seeds::ogg() {
            let mut again = seed.clone();
            make_checksums_right(&mut again);
            assert!(again == seed);
        }
    }
}
