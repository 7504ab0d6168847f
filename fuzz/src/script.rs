//! How one fuzz input carries many datagrams: steps of an operation, a length and that many bytes.

/// One step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step<'a> {
    /// What to do; each entry point has its own meaning for it.
    pub(crate) operation: u8,
    /// With what.
    pub(crate) data: &'a [u8],
}

/// The steps of an input. Any bytes are a script: a length past the end is cut.
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
