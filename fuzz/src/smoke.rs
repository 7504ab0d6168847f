//! Runs each entry point for a few seconds on stable Rust, with the seeds and mutations of them, and reports an input
//! that makes it panic.
//!
//! `FUZZ_SECONDS` is the time for each entry point (default 5), `FUZZ_SEED` the seed of the mutations (default 1).

use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use crate::seeds;

const MAX_INPUT_LEN: usize = 1 << 14;

#[test]
fn stun() {
    run("stun", crate::fuzz_stun, seeds::stun());
}

#[test]
fn rtp() {
    run("rtp", crate::fuzz_rtp, seeds::rtp());
}

#[test]
fn rtcp() {
    run("rtcp", crate::fuzz_rtcp, seeds::rtcp());
}

#[test]
fn codecs() {
    run("codecs", crate::fuzz_codecs, seeds::codecs());
}

#[test]
fn frames() {
    run("frames", crate::fuzz_frames, seeds::frames());
}

#[test]
fn ivf() {
    run("ivf", crate::fuzz_ivf, seeds::ivf());
}

#[test]
fn ogg() {
    run("ogg", crate::fuzz_ogg, seeds::ogg());
}

#[test]
fn annexb() {
    run("annexb", crate::fuzz_annexb, seeds::annexb());
}

#[test]
fn matroska() {
    run("matroska", crate::fuzz_matroska, seeds::matroska());
}

#[test]
fn mp4() {
    run("mp4", crate::fuzz_mp4, seeds::mp4());
}

#[test]
fn srtp() {
    run("srtp", crate::fuzz_srtp, seeds::srtp());
}

#[test]
fn dtls_datagram() {
    run("dtls_datagram", crate::fuzz_dtls_datagram, seeds::dtls_datagram());
}

#[test]
fn sctp() {
    run("sctp", crate::fuzz_sctp, seeds::sctp());
}

#[test]
fn worker_datagrams() {
    run("worker_datagrams", crate::fuzz_worker_datagrams, seeds::worker_datagrams());
}

#[test]
fn channel() {
    run("channel", crate::fuzz_channel, seeds::channel());
}

#[test]
fn channel_json() {
    run("channel_json", crate::fuzz_channel_json, seeds::channel_json());
}

#[expect(clippy::disallowed_methods, reason = "the smoke test is bounded by real time")]
fn run(name: &str, target: fn(&[u8]), seeds: Vec<Vec<u8>>) {
    let time = Duration::from_secs(setting("FUZZ_SECONDS", 5));
    let seed = setting("FUZZ_SEED", 1);
    let mut rng = SmallRng::seed_from_u64(seed);
    let start = Instant::now();
    let mut runs = 0_u64;
    let mut input = Vec::new();
    seeds.iter().for_each(|seed| check(name, target, seed));
    while start.elapsed() < time {
        input.clear();
        input.extend_from_slice(&seeds[rng.random_range(0..seeds.len())]);
        for _ in 0..rng.random_range(1..=8) {
            mutate(&mut input, &seeds, &mut rng);
        }
        input.truncate(MAX_INPUT_LEN);
        check(name, target, &input);
        runs += 1;
    }
    println!("{name}: {runs} inputs, seed {seed}");
    assert!(runs > 0, "no time for a single mutation");
}

fn check(name: &str, target: fn(&[u8]), input: &[u8]) {
    let result = std::panic::catch_unwind(|| target(input));
    if let Err(panic) = result {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts").join(name);
        let file = folder.join("smoke-crash");
        match std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, input)) {
            Ok(()) => eprintln!("{name}: the input is in {}", file.display()),
            Err(error) => eprintln!("{name}: {error}; the input was {input:02x?}"),
        }
        std::panic::resume_unwind(panic);
    }
}

fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name}={value} is not a whole number")),
        Err(_) => default,
    }
}

/// Applies one small mutation.
fn mutate(input: &mut Vec<u8>, seeds: &[Vec<u8>], rng: &mut SmallRng) {
    const INTERESTING: [u16; 12] = [0, 1, 2, 3, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xfffe, 0xffff];
    let position = rng.random_range(0..=input.len());
    let len = rng.random_range(0..=(input.len() - position).min(64));
    match rng.random_range(0..9) {
        0 => input.truncate(position),
        1 => drop(input.drain(position..position + len)),
        2 => {
            let piece = input[position..position + len].to_vec();
            input.splice(position..position, piece);
        }
        3 => {
            let piece: Vec<u8> = (0..rng.random_range(1..16)).map(|_| rng.random()).collect();
            input.splice(position..position, piece);
        }
        4 => {
            let other = &seeds[rng.random_range(0..seeds.len())];
            let from = rng.random_range(0..=other.len());
            let to = rng.random_range(from..=other.len());
            input.splice(position..position + len, other[from..to].iter().copied());
        }
        5 => {
            let value = INTERESTING[rng.random_range(0..INTERESTING.len())];
            if let Some(bytes) = input.get_mut(position..position + 2) {
                bytes.copy_from_slice(&value.to_be_bytes());
            }
        }
        6 => {
            let step = rng.random_range(1..=16);
            if let Some(byte) = input.get_mut(position) {
                *byte = if rng.random() { byte.wrapping_add(step) } else { byte.wrapping_sub(step) };
            }
        }
        7 => {
            if let Some(byte) = input.get_mut(position) {
                *byte = rng.random();
            }
        }
        _ => {
            if let Some(byte) = input.get_mut(position) {
                *byte ^= 1 << rng.random_range(0..8);
            }
        }
    }
}
