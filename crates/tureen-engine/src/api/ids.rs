//! Identifiers chosen by the control side: opaque strings, UUIDs in practice.

use std::borrow::Borrow;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// Identifier as a string.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

id!(
    /// Identifies a Router within its worker.
    RouterId
);
id!(
    /// Identifies a WebRtcServer within its worker.
    WebRtcServerId
);
id!(
    /// Identifies a transport of any kind within its worker.
    TransportId
);
id!(
    /// Identifies a Producer within its router.
    ProducerId
);
id!(
    /// Identifies a Consumer within its worker.
    ConsumerId
);
id!(
    /// Identifies a DataProducer within its router.
    DataProducerId
);
id!(
    /// Identifies a DataConsumer within its worker.
    DataConsumerId
);
id!(
    /// Identifies an RTP observer of any kind within its worker.
    RtpObserverId
);

/// Identifier that pairs a response with its request; chosen by the control side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u64);
