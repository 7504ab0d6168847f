//! Has the crate built anew when the web app that it embeds changes.

use std::path::Path;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // The web app is optional. Where it is not built yet, its sources tell when it may have been.
    let found = ["../../web/dist", "../../web"].into_iter().find(|path| Path::new(path).exists());
    if let Some(path) = found {
        println!("cargo:rerun-if-changed={path}");
    }
}
