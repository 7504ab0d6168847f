//! JSON of applications, which rooms store and forward without parsing it.

use std::{io, sync::Arc};

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

/// A JSON object of an application: `appData`, or the description of a device. Clones share the value.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Opaque(Arc<Map<String, Value>>);

impl Opaque {
    pub(crate) fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    #[cfg(test)]
    pub(crate) fn parse(text: &str) -> Self {
        Self(Arc::new(serde_json::from_str(text).unwrap()))
    }
}

impl From<Map<String, Value>> for Opaque {
    fn from(members: Map<String, Value>) -> Self {
        Self(Arc::new(members))
    }
}

impl Serialize for Opaque {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// Length of `value` as JSON in bytes.
pub(crate) fn json_len(value: &impl Serialize) -> usize {
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
        // A value that cannot be written cannot be sent to anybody.
        Err(_) => usize::MAX,
    }
}
