//! Lists the public items of a crate from its source.
//!
//! Modules, `pub use` and macros by example are resolved as by rustc, as far as these crates need it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Expr, Fields, ImplItem, Item, ItemImpl, Stmt, TraitItem, Type, UseTree, Visibility};

use crate::expand::Macro;

/// Source of a crate.
pub(crate) struct Crate {
    pub(crate) name: &'static str,
    pub(crate) src: PathBuf,
}

/// Lists all public items of the first crate, by the paths that its users write, including re-exports from the other
/// crates.
pub(crate) fn public_items(crates: &[Crate]) -> BTreeSet<String> {
    let mut world = World::default();
    for source in crates {
        let root = source.src.join("lib.rs");
        let items = parse(&root);
        world.add_module(&[source.name.to_owned()], items, &source.src);
    }
    world.expand_macros();
    let root = vec![crates[0].name.to_owned()];
    let mut found = BTreeSet::new();
    world.list(&root, String::new(), &mut found, &mut Vec::new());
    found
}

/// Internal traits of a crate, by a part of their names.
const PRIVATE_TRAITS: [&str; 2] = ["Fbs", "TransportImpl"];

/// Path of a module or item, starting with the crate.
type ItemPath = Vec<String>;

/// Modules by path.
#[derive(Default)]
struct World {
    modules: BTreeMap<ItemPath, Module>,
    /// Items of `impl` blocks, by the name of the type.
    impls: BTreeMap<String, BTreeSet<String>>,
    macros: BTreeMap<String, Macro>,
    /// Macro calls: module, macro, arguments.
    calls: Vec<(ItemPath, String, TokenStream)>,
}

#[derive(Default)]
struct Module {
    /// Types, functions and other items, with their content, public or not.
    items: BTreeMap<String, BTreeSet<String>>,
    public: BTreeSet<String>,
    /// `use` declarations: local name, path, and true if public.
    uses: Vec<(String, ItemPath, bool)>,
    /// `use …::*`.
    globs: Vec<(ItemPath, bool)>,
}

impl World {
    fn add_module(&mut self, path: &[String], items: Vec<Item>, folder: &Path) {
        let mut module = self.modules.remove(path).unwrap_or_default();
        for item in items {
            if is_test(&item) {
                continue;
            }
            let (name, visibility, parts) = match &item {
                Item::Struct(item) => (item.ident.to_string(), &item.vis, fields("", &item.fields)),
                Item::Enum(item) => {
                    let mut parts = BTreeSet::new();
                    for variant in &item.variants {
                        let name = variant.ident.to_string();
                        parts.extend(fields(&format!("{name}."), &variant.fields));
                        parts.insert(name);
                    }
                    (item.ident.to_string(), &item.vis, parts)
                }
                Item::Trait(item) => {
                    let name = |item: &TraitItem| match item {
                        TraitItem::Fn(item) => Some(signature(&item.sig)),
                        TraitItem::Type(item) => Some(item.ident.to_string()),
                        _ => None,
                    };
                    (item.ident.to_string(), &item.vis, item.items.iter().filter_map(name).collect())
                }
                Item::Const(item) if item.ident == "_" => {
                    self.add_impls_in(&item.expr);
                    continue;
                }
                Item::Fn(item) => (item.sig.ident.to_string(), &item.vis, BTreeSet::new()),
                Item::Const(item) => (item.ident.to_string(), &item.vis, BTreeSet::new()),
                Item::Type(item) => (item.ident.to_string(), &item.vis, BTreeSet::new()),
                Item::Mod(item) => {
                    let name = item.ident.to_string();
                    let (items, folder) = match &item.content {
                        Some((_, items)) => (items.clone(), folder.join(&name)),
                        None => {
                            let file = [folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")]
                                .into_iter()
                                .find(|file| file.exists())
                                .unwrap_or_else(|| {
                                    panic!("no file of module {name} in {}", folder.display())
                                });
                            (parse(&file), folder.join(&name))
                        }
                    };
                    let path = [path, &[name.clone()]].concat();
                    self.add_module(&path, items, &folder);
                    if matches!(item.vis, Visibility::Public(_)) {
                        module.public.insert(name);
                    }
                    continue;
                }
                Item::Use(item) => {
                    let public = matches!(item.vis, Visibility::Public(_));
                    add_uses(&mut module, path, &mut Vec::new(), &item.tree, public);
                    continue;
                }
                Item::Impl(item) => {
                    self.add_impl(item);
                    continue;
                }
                Item::Macro(item) => {
                    let tokens = item.mac.tokens.clone();
                    match (&item.ident, item.mac.path.segments.last()) {
                        (Some(defined), _) => {
                            self.macros.insert(defined.to_string(), Macro::of(tokens));
                        }
                        (None, Some(called)) => {
                            self.calls.push((path.to_vec(), called.ident.to_string(), tokens));
                        }
                        (None, None) => {}
                    }
                    continue;
                }
                _ => continue,
            };
            if let Item::Struct(_) | Item::Enum(_) = &item {
                self.impls.entry(name.clone()).or_default().extend(derives(&item));
            }
            if matches!(visibility, Visibility::Public(_)) {
                module.public.insert(name.clone());
            }
            module.items.insert(name, parts);
        }
        self.modules.insert(path.to_vec(), module);
    }

    fn add_impl(&mut self, item: &ItemImpl) {
        let Type::Path(of) = &*item.self_ty else { return };
        let Some(of) = of.path.segments.last() else { return };
        let items = self.impls.entry(of.ident.to_string()).or_default();
        match &item.trait_ {
            Some((_, path, _)) => {
                let name = last_segments(path.to_token_stream());
                if !PRIVATE_TRAITS.iter().any(|private| name.contains(private)) {
                    items.insert(format!("impl {name}"));
                }
            }
            None => {
                for item in &item.items {
                    if let ImplItem::Fn(method) = item
                        && matches!(method.vis, Visibility::Public(_))
                    {
                        items.insert(signature(&method.sig));
                    }
                }
            }
        }
    }

    /// Adds the content of an unnamed constant's block, in which macros hide their imports.
    fn add_impls_in(&mut self, block: &Expr) {
        let Expr::Block(block) = block else { return };
        for statement in &block.block.stmts {
            if let Stmt::Item(Item::Impl(item)) = statement {
                self.add_impl(item);
            }
        }
    }

    /// Expands macro calls until there are none left.
    fn expand_macros(&mut self) {
        while let Some((path, called, tokens)) = self.calls.pop() {
            let expanded = self.macros.get(&called).and_then(|called| called.expand(&tokens));
            if let Some(file) = expanded.and_then(|tokens| syn::parse2::<syn::File>(tokens).ok()) {
                self.add_module(&path, file.items, Path::new(""));
            }
        }
    }

    /// Lists the public items of a module under `prefix`.
    fn list(&self, path: &ItemPath, prefix: String, found: &mut BTreeSet<String>, stack: &mut Vec<ItemPath>) {
        if stack.contains(path) {
            return;
        }
        stack.push(path.clone());
        let Some(module) = self.modules.get(path) else {
            stack.pop();
            return;
        };
        for name in &module.public {
            self.list_item(&child(path, name), &format!("{prefix}{name}"), found, stack);
        }
        for (name, target, _) in module.uses.iter().filter(|(.., public)| *public) {
            if let Some(target) = self.resolve(target, 0) {
                self.list_item(&target, &format!("{prefix}{name}"), found, stack);
            }
        }
        for (target, _) in module.globs.iter().filter(|(_, public)| *public) {
            if let Some(target) = self.resolve(target, 0) {
                self.list(&target, prefix.clone(), found, stack);
            }
        }
        stack.pop();
    }

    fn list_item(
        &self,
        path: &ItemPath,
        shown: &str,
        found: &mut BTreeSet<String>,
        stack: &mut Vec<ItemPath>,
    ) {
        found.insert(shown.to_owned());
        if self.modules.contains_key(path) {
            self.list(path, format!("{shown}::"), found, stack);
            return;
        }
        let (Some(name), Some(module)) = (path.last(), self.modules.get(&path[..path.len() - 1])) else {
            return;
        };
        for part in
            module.items.get(name).into_iter().flatten().chain(self.impls.get(name).into_iter().flatten())
        {
            found.insert(format!("{shown}: {part}"));
        }
    }

    /// Resolves a path to its module or item.
    fn resolve(&self, path: &ItemPath, depth: usize) -> Option<ItemPath> {
        if depth > 20 {
            return None;
        }
        let mut at = vec![path.first()?.clone()];
        for name in &path[1..] {
            at = self.find(&at, name, depth + 1)?;
        }
        Some(at)
    }

    fn find(&self, module_path: &ItemPath, name: &str, depth: usize) -> Option<ItemPath> {
        let path = child(module_path, name);
        let module = self.modules.get(module_path)?;
        if self.modules.contains_key(&path) || module.items.contains_key(name) {
            return Some(path);
        }
        if let Some((_, target, _)) = module.uses.iter().find(|(used, ..)| used == name) {
            return self.resolve(target, depth + 1);
        }
        let globs = module.globs.iter().filter(|_| depth < 20);
        globs.filter_map(|(target, _)| self.resolve(target, depth + 1)).find_map(|target| {
            (target != *module_path).then(|| self.find(&target, name, depth + 1)).flatten()
        })
    }
}

fn child(path: &ItemPath, name: &str) -> ItemPath {
    let mut path = path.clone();
    path.push(name.to_owned());
    path
}

fn parse(file: &Path) -> Vec<Item> {
    let source = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    syn::parse_file(&source).unwrap_or_else(|error| panic!("{}: {error}", file.display())).items
}

fn attributes(item: &Item) -> &[syn::Attribute] {
    match item {
        Item::Struct(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        _ => &[],
    }
}

fn is_test(item: &Item) -> bool {
    attributes(item)
        .iter()
        .any(|attribute| attribute.path().is_ident("cfg") && text(attribute).contains("test"))
}

fn text(tokens: impl ToTokens) -> String {
    tokens.to_token_stream().to_string()
}

/// Names of derived traits.
fn derives(item: &Item) -> Vec<String> {
    let mut traits = conversions(item);
    for attribute in attributes(item).iter().filter(|attribute| attribute.path().is_ident("derive")) {
        let _ = attribute.parse_nested_meta(|meta| {
            if let Some(segment) = meta.path.segments.last() {
                // `serde_repr` derives traits with names of its own.
                traits.push(format!("impl {}", segment.ident.to_string().trim_end_matches("_repr")));
            }
            Ok(())
        });
    }
    traits
}

/// Conversions derived by `thiserror`.
fn conversions(item: &Item) -> Vec<String> {
    let Item::Enum(item) = item else { return Vec::new() };
    let fields = item.variants.iter().flat_map(|variant| &variant.fields);
    let from = fields.filter(|field| field.attrs.iter().any(|attribute| attribute.path().is_ident("from")));
    from.map(|field| format!("impl From<{}>", last_segments(field.ty.to_token_stream()))).collect()
}

fn fields(prefix: &str, fields: &Fields) -> BTreeSet<String> {
    let in_enum = !prefix.is_empty();
    let named = |(index, field): (usize, &syn::Field)| {
        let public = in_enum || matches!(field.vis, Visibility::Public(_));
        let name = field.ident.as_ref().map_or_else(|| index.to_string(), ToString::to_string);
        public.then(|| format!("{prefix}{name}"))
    };
    fields.iter().enumerate().filter_map(named).collect()
}

fn signature(signature: &syn::Signature) -> String {
    let asynchronous = if signature.asyncness.is_some() { "async " } else { "" };
    format!("{asynchronous}fn {}", signature.ident)
}

/// Removes the paths before names.
fn last_segments(tokens: TokenStream) -> String {
    let text = tokens.to_string().replace(' ', "");
    let mut shown = String::new();
    for part in text.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_' && c != ':') {
        shown += part.rsplit("::").next().unwrap_or(part);
    }
    match shown.find("<'") {
        Some(lifetime) => shown[..lifetime].to_owned(),
        None => shown,
    }
}

fn add_uses(module: &mut Module, here: &[String], prefix: &mut Vec<String>, tree: &UseTree, public: bool) {
    match tree {
        UseTree::Path(path) => {
            prefix.push(path.ident.to_string());
            add_uses(module, here, prefix, &path.tree, public);
            prefix.pop();
        }
        UseTree::Name(name) if name.ident == "self" => {
            let used = prefix.last().cloned().unwrap_or_default();
            module.uses.push((used, absolute(here, prefix), public));
        }
        UseTree::Name(name) => {
            prefix.push(name.ident.to_string());
            module.uses.push((name.ident.to_string(), absolute(here, prefix), public));
            prefix.pop();
        }
        UseTree::Rename(rename) => {
            prefix.push(rename.ident.to_string());
            module.uses.push((rename.rename.to_string(), absolute(here, prefix), public));
            prefix.pop();
        }
        UseTree::Glob(_) => module.globs.push((absolute(here, prefix), public)),
        UseTree::Group(group) => {
            for tree in &group.items {
                add_uses(module, here, prefix, tree, public);
            }
        }
    }
}

/// Absolute form of a path that is written in a module, starting with the crate.
fn absolute(here: &[String], path: &[String]) -> ItemPath {
    let mut at = match path[0].as_str() {
        "crate" => vec![here[0].clone()],
        "self" | "super" => here.to_vec(),
        name if here.len() > 1 || is_crate(name) => {
            if is_crate(name) {
                vec![name.to_owned()]
            } else {
                [here, &[name.to_owned()]].concat()
            }
        }
        name => [here, &[name.to_owned()]].concat(),
    };
    if path[0] == "super" {
        at.pop();
    }
    for name in &path[1..] {
        if name == "super" {
            at.pop();
        } else {
            at.push(name.clone());
        }
    }
    at
}

fn is_crate(name: &str) -> bool {
    ["mediasoup_types", "tureen_types", "tureen_driver"].contains(&name)
}
