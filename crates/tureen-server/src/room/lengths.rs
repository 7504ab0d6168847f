//! Limits for the lengths of a participant's texts, because they are stored and sent to others.

use serde::Serialize;

use crate::{
    config::Limits,
    error::{Error, WrongText},
    opaque::{Opaque, json_len},
};

/// Checks a name, label or protocol.
pub(super) fn check_name(limits: &Limits, what: &'static str, name: &str) -> Result<(), Error> {
    check(what, name.len(), limits.max_name_bytes)?;
    match name.contains(char::is_control) {
        true => Err(Error::WrongText { what, why: WrongText::ControlCharacters }),
        false => Ok(()),
    }
}

pub(super) fn check_device(limits: &Limits, device: &Opaque) -> Result<(), Error> {
    check("device", json_len(device), limits.max_device_bytes())
}

pub(super) fn check_app_data(limits: &Limits, app_data: &Opaque) -> Result<(), Error> {
    check("appData", json_len(app_data), limits.max_app_data_bytes)
}

/// Checks RTP parameters or capabilities.
pub(super) fn check_parameters(
    limits: &Limits,
    what: &'static str,
    parameters: &impl Serialize,
) -> Result<(), Error> {
    check(what, json_len(parameters), limits.max_parameters_bytes)
}

fn check(what: &'static str, len: usize, most: usize) -> Result<(), Error> {
    match len <= most {
        true => Ok(()),
        false => Err(Error::WrongText { what, why: WrongText::TooLong { len, most } }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_beyond_the_limit_are_refused_by_name_and_length() {
        let limits = Limits::default();
        check_name(&limits, "displayName", &"x".repeat(256)).unwrap();
        let error = check_name(&limits, "displayName", &"x".repeat(257)).unwrap_err();
        assert_eq!(error.to_string(), "displayName has 257 bytes, more than 256");
        let error = check_name(&limits, "label", "a\nb").unwrap_err();
        assert_eq!(error.to_string(), "label has control characters");
    }

    #[test]
    fn app_data_and_device_are_measured_as_json() {
        let limits = Limits::default();
        let object = |escaped: &str, count| Opaque::parse(&format!(r#"{{"x":"{}"}}"#, escaped.repeat(count)));
        check_device(&limits, &object("x", 1000)).unwrap();
        check_device(&limits, &object("x", 1024)).unwrap_err();
        check_app_data(&limits, &Opaque::default()).unwrap();
        check_app_data(&limits, &object("x", 16_000)).unwrap();
        check_app_data(&limits, &object("\\\"", 9_000)).unwrap_err();
    }
}
