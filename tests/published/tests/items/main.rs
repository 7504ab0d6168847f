//! Tureen has every public item of the published mediasoup crate: modules, types with their fields and variants,
//! methods, and implemented traits.

mod expand;
mod scan;

use std::path::{Path, PathBuf};

use scan::{Crate, public_items};

#[test]
fn every_public_item_of_the_published_crate_is_there() {
    let published = PathBuf::from(env!("PUBLISHED"));
    let types = PathBuf::from(env!("PUBLISHED_TYPES"));
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates");
    let theirs = public_items(&[
        Crate { name: "mediasoup", src: published.join("src") },
        Crate { name: "mediasoup_types", src: types.join("src") },
    ]);
    let ours = public_items(&[
        Crate { name: "tureen", src: crates.join("tureen/src") },
        Crate { name: "tureen_types", src: crates.join("tureen-types/src") },
        Crate { name: "tureen_driver", src: crates.join("tureen-driver/src") },
    ]);
    assert!(theirs.len() > 1000, "only {} items found", theirs.len());

    let lacking: Vec<_> = theirs.difference(&ours).collect();
    assert!(lacking.is_empty(), "lacking: {lacking:#?}");
}
