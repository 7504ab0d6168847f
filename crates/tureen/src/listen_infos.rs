//! Lists of sockets to listen on.

/// Defines a non-empty list of [`ListenInfo`](crate::data_structures::ListenInfo)s, and the error `EmptyListError`.
macro_rules! listen_infos {
    ($(#[$doc:meta])* $name:ident, empty: $empty:literal) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Eq, PartialEq, serde::Serialize)]
        pub struct $name(Vec<$crate::data_structures::ListenInfo>);

        impl $name {
            /// A list with one socket.
            #[must_use]
            pub fn new(listen_info: $crate::data_structures::ListenInfo) -> Self {
                Self(vec![listen_info])
            }

            /// Appends a socket.
            #[must_use]
            pub fn insert(mut self, listen_info: $crate::data_structures::ListenInfo) -> Self {
                self.0.push(listen_info);
                self
            }
        }

        impl std::ops::Deref for $name {
            type Target = Vec<$crate::data_structures::ListenInfo>;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }

        /// The list of listen infos is empty.
        #[derive(thiserror::Error, Debug, Eq, PartialEq)]
        #[error($empty)]
        pub struct EmptyListError;

        impl TryFrom<Vec<$crate::data_structures::ListenInfo>> for $name {
            type Error = EmptyListError;

            fn try_from(
                listen_infos: Vec<$crate::data_structures::ListenInfo>,
            ) -> Result<Self, Self::Error> {
                if listen_infos.is_empty() { Err(EmptyListError) } else { Ok(Self(listen_infos)) }
            }
        }
    };
}

pub(crate) use listen_infos;
