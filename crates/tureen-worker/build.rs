//! Compiles the schema of the channel.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=schema");
    let root = Path::new("schema/message.fbs");
    let declarations = planus_translation::translate_files(&[root]).expect("the schema is valid");
    let code = planus_codegen::generate_rust(&declarations, false).expect("the schema has Rust names");
    // Nothing serialises these with serde, and its code would double the time that this crate takes to compile.
    let code = code.replace("::serde::Serialize, ::serde::Deserialize", "");
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::write(out_dir.join("schema.rs"), code).expect("OUT_DIR is writable");
}
