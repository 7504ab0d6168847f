//! Copies tests and benches of the published mediasoup crate from cargo's registry to `OUT_DIR`, with the paths that
//! another crate has to write.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Test modules of the published crate that are in `src`, and what they find in the module around them.
const TESTS: &[(&str, &str)] = &[
    ("worker_manager", "use futures_lite::future; use mediasoup::prelude::*;"),
    ("webrtc_server", ""),
    ("router", ""),
    ("router/active_speaker_observer", ""),
    ("router/audio_level_observer", ""),
    ("router/consumer", ""),
    ("router/data_consumer", ""),
    ("router/data_producer", ""),
    ("router/direct_transport", ""),
    ("router/pipe_transport", ""),
    ("router/plain_transport", ""),
    ("router/producer", ""),
    ("router/webrtc_transport", ""),
];

/// Calls private functions. Our own tests of capability matching are in tureen-types.
const PRIVATE: &str = "ortc";

const BENCHES: &[&str] = &["direct_data", "producer"];

fn main() -> Result<(), Box<dyn Error>> {
    let sources = find_sources()?;
    let [published, types] = ["mediasoup", "mediasoup-types"].map(|name| sources(name));
    let (published, types) = (published?, types?);
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    println!("cargo::rustc-env=PUBLISHED={}", published.display());
    println!("cargo::rustc-env=PUBLISHED_TYPES={}", types.display());

    let found = find_tests(&published.join("src"))?;
    let known = |found: &&String| *found == PRIVATE || TESTS.iter().any(|(path, _)| path == found);
    if let Some(unknown) = found.iter().find(|found| !known(found)) {
        return Err(format!("TESTS lacks {unknown}").into());
    }
    let mut modules = String::new();
    for (path, imports) in TESTS {
        let name = path.replace('/', "_");
        let source = fs::read_to_string(published.join("src").join(path).join("tests.rs"))?;
        fs::write(out.join(format!("{name}.rs")), from_outside(&source))?;
        modules += &format!(
            "mod {name} {{\n    {imports}\n    mod tests {{\n        \
             include!(concat!(env!(\"OUT_DIR\"), \"/{name}.rs\"));\n    }}\n}}\n"
        );
    }
    fs::write(out.join("tests.rs"), modules)?;
    for bench in BENCHES {
        let name = format!("{bench}.rs");
        fs::copy(published.join("benches").join(&name), out.join(&name))?;
    }
    Ok(())
}

/// Where cargo keeps the source of a crate.
fn find_sources() -> Result<impl Fn(&str) -> Result<PathBuf, Box<dyn Error>>, Box<dyn Error>> {
    let manifest = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("Cargo.toml");
    let output = Command::new(env::var("CARGO")?)
        .args(["metadata", "--format-version=1", "--manifest-path"])
        .arg(manifest)
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    Ok(move |name: &str| {
        let packages = metadata["packages"].as_array().ok_or("no packages")?;
        let package = packages.iter().find(|package| package["name"] == name).ok_or("no such package")?;
        let manifest = Path::new(package["manifest_path"].as_str().ok_or("no path")?);
        Ok(manifest.parent().ok_or("no folder")?.to_owned())
    })
}

/// Folders with a `tests.rs`, relative to `src`.
fn find_tests(src: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut found = Vec::new();
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.ends_with("tests.rs") {
                found.push(folder.strip_prefix(src)?.to_str().ok_or("path is not UTF-8")?.to_owned());
            }
        }
    }
    Ok(found)
}

/// As it is written in an application, which reaches the types by the crate that it uses.
fn from_outside(source: &str) -> String {
    source.replace("crate::", "mediasoup::").replace("mediasoup_types::", "mediasoup::types::")
}
