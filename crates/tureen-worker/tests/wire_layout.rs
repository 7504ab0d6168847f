//! The compiled schema has exactly the layout of mediasoup's library of that version: each number of an enum, tag of a
//! union, and slot, type and default of a field. `wire_layout_3.27.1.txt` contains that layout, a line for each of
//! them.

use planus_translation::translate_files;
use planus_types::intermediate::{
    AssignMode, Declaration, DeclarationKind, Declarations, IntegerLiteral, Literal, SimpleType, TypeKind,
};

#[test]
fn schema_has_the_layout_of_the_library() {
    let schema = translate_files(&["schema/message.fbs"]).unwrap();
    let mut ours: Vec<String> = schema
        .iter_declarations()
        .flat_map(|(_, path, declaration)| lines(&schema, &path.0.join("."), declaration))
        .collect();
    ours.sort();
    let theirs: Vec<&str> = include_str!("wire_layout_3.27.1.txt").lines().collect();
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
}

/// A line for each value, member or field of a declaration.
fn lines(schema: &Declarations, name: &str, declaration: &Declaration) -> Vec<String> {
    match &declaration.kind {
        DeclarationKind::Enum(declared) => declared
            .variants
            .iter()
            .map(|(number, variant)| {
                let number = number.to_u64();
                format!("{name} {number:03} {} {}", variant.name, declared.type_.flatbuffer_name())
            })
            .collect(),
        DeclarationKind::Union(declared) => declared
            .variants
            .iter()
            .zip(1..)
            .map(|((variant, of), tag)| format!("{name} {tag:03} {variant} {}", text(schema, &of.type_.kind)))
            .collect(),
        DeclarationKind::Table(declared) => declared
            .fields
            .iter()
            .map(|(field, of)| {
                let presence = match &of.assign_mode {
                    AssignMode::Required => " required".to_owned(),
                    AssignMode::Optional => " optional".to_owned(),
                    AssignMode::HasDefault(value) => default(value),
                };
                let slot = of.vtable_index;
                format!("{name} {slot:03} {field} {}{presence}", text(schema, &of.type_.kind))
            })
            .collect(),
        other => panic!("{name} is of an unexpected kind: {}", other.kind_as_str()),
    }
}

fn text(schema: &Declarations, kind: &TypeKind) -> String {
    let path = |index| schema.get_declaration(index).0.0.join(".");
    match kind {
        TypeKind::Table(index) | TypeKind::Union(index) => path(*index),
        TypeKind::Vector(inner) => format!("[{}]", text(schema, &inner.kind)),
        TypeKind::SimpleType(SimpleType::Enum(index)) => path(*index),
        other => schema.format_type_kind(other).into_owned(),
    }
}

/// Empty for a value that is the default anyway.
fn default(value: &Literal) -> String {
    match value {
        Literal::Bool(false) => String::new(),
        Literal::Int(number) if number.is_zero() => String::new(),
        Literal::Float(_) => String::new(),
        Literal::Bool(true) => " = true".to_owned(),
        Literal::Int(number) => format!(" = {}", number.to_u64()),
        Literal::EnumTag { value, .. } if value.is_zero() => String::new(),
        Literal::EnumTag { value, .. } => format!(" = {}", IntegerLiteral::to_u64(value)),
        other => panic!("an unexpected default: {other:?}"),
    }
}
