//! Script: several datagrams in one fuzz input, as steps of an operation, a length and data.

/// Step of a script.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    /// Operation, whose meaning depends on the entry point.
    pub(crate) operation: u8,
    /// Data of the operation.
    pub(crate) data: &'a [u8],
}

/// Iterates over the steps of an input. All bytes are a valid script, because a length beyond the end is shortened.
pub(crate) fn steps(mut input: &[u8]) -> impl Iterator<Item = Step<'_>> {
    std::iter::from_fn(move || {
        let ([operation, high, low], rest) = input.split_first_chunk()?;
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (data, rest) = rest.split_at(len);
        input = rest;
        Some(Step { operation: *operation, data })
    })
}

/// Appends a step to a script.
pub(crate) fn push_step(script: &mut Vec<u8>, operation: u8, data: &[u8]) {
    let len = u16::try_from(data.len()).expect("steps carry datagrams");
    script.push(operation);
    script.extend_from_slice(&len.to_be_bytes());
    script.extend_from_slice(data);
}
