//! Identifiers of the library's objects: UUIDs, with a type for each kind of object.

/// Defines an identifier, and its conversions to and from the engine's identifier if the engine has one.
macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident $(<=> $core:path)?) => {
        $(#[$doc])*
        #[derive(
            Debug, Copy, Clone, serde::Deserialize, serde::Serialize, Hash, Ord, PartialOrd, Eq, PartialEq,
        )]
        pub struct $name(::uuid::Uuid);

        impl $name {
            pub(crate) fn new() -> Self {
                Self(::uuid::Uuid::new_v4())
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(&self.0, f)
            }
        }

        impl ::std::str::FromStr for $name {
            type Err = ::uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                ::uuid::Uuid::from_str(text).map(Self)
            }
        }

        impl From<$name> for ::uuid::Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        $(
            impl From<$name> for $core {
                fn from(id: $name) -> Self {
                    let mut buffer = ::uuid::Uuid::encode_buffer();
                    Self::from(&*id.0.hyphenated().encode_lower(&mut buffer))
                }
            }

            impl From<$core> for $name {
                /// Never fails, because every identifier in the engine was converted from this type.
                fn from(id: $core) -> Self {
                    Self(::uuid::Uuid::parse_str(id.as_str()).expect("the engine holds identifiers made here"))
                }
            }
        )?
    };
}

pub(crate) use uuid_id;

#[cfg(test)]
mod tests {
    use crate::router::RouterId;

    #[test]
    fn identifier_round_trips_through_the_engine() {
        let id = RouterId::new();
        let core = tureen_engine::api::RouterId::from(id);
        assert_eq!(core.as_str(), id.to_string());
        assert_eq!(RouterId::from(core), id);
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}
