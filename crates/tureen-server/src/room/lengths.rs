//! How long the texts may be that a participant brings: others are sent them, and the room keeps them.

use std::io;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::{config::Limits, signaling::protoo::Refusal};

/// Checks a name, label or protocol.
pub(super) fn check_name(limits: &Limits, what: &str, name: &str) -> Result<(), Refusal> {
    check(what, name.len(), limits.max_name_bytes)?;
    match name.contains(char::is_control) {
        true => Err(Refusal::bad_request(format_args!("{what} has control characters"))),
        false => Ok(()),
    }
}

/// Checks what tells of a device.
pub(super) fn check_device(limits: &Limits, device: &Value) -> Result<(), Refusal> {
    check("device", json_len(device), limits.max_device_bytes())
}

/// Checks the data that an application gives to its producer.
pub(super) fn check_app_data(limits: &Limits, app_data: Option<&Map<String, Value>>) -> Result<(), Refusal> {
    app_data.map_or(Ok(()), |data| check("appData", json_len(data), limits.max_app_data_bytes))
}

/// Checks RTP parameters or capabilities.
pub(super) fn check_parameters(
    limits: &Limits,
    what: &str,
    parameters: &impl Serialize,
) -> Result<(), Refusal> {
    check(what, json_len(parameters), limits.max_parameters_bytes)
}

fn check(what: &str, len: usize, most: usize) -> Result<(), Refusal> {
    match len <= most {
        true => Ok(()),
        false => Err(Refusal::bad_request(format_args!("{what} has {len} bytes, more than {most}"))),
    }
}

/// Length of `value` as JSON (bytes).
fn json_len(value: &impl Serialize) -> usize {
    struct Count(usize);

    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        // What can't be written can't be sent to anybody either.
        Err(_) => usize::MAX,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_too_long_is_refused_by_name_and_length() {
        let limits = Limits::default();
        check_name(&limits, "displayName", &"x".repeat(256)).unwrap();
        let refusal = check_name(&limits, "displayName", &"x".repeat(257)).unwrap_err();
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (400, "displayName has 257 bytes, more than 256")
        );
        let refusal = check_name(&limits, "label", "a\nb").unwrap_err();
        assert_eq!(refusal.reason, "label has control characters");
    }

    #[test]
    fn app_data_and_device_are_measured_as_json() {
        let limits = Limits::default();
        check_device(&limits, &json!({ "name": "x".repeat(1000) })).unwrap();
        check_device(&limits, &json!({ "name": "x".repeat(1024) })).unwrap_err();
        let data = |text: String| serde_json::from_value(json!({ "x": text })).unwrap();
        check_app_data(&limits, None).unwrap();
        check_app_data(&limits, Some(&data("x".repeat(16_000)))).unwrap();
        check_app_data(&limits, Some(&data("\"".repeat(9_000)))).unwrap_err();
    }
}
