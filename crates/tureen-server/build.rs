//! Rebuilds the crate when the embedded web app has changed.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The web app is optional. If it is not built yet, a change of its sources causes a rebuild.
    let found = ["../../web/dist", "../../web"].into_iter().find(|path| Path::new(path).exists());
    if let Some(path) = found {
        println!("cargo:rerun-if-changed={path}");
    }
}
