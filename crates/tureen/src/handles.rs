//! What the handles of objects of every kind have in common.

/// Defines the weak form of a handle and the ways to it: `upgrade`, `downgrade`, and for handles of objects with events
/// `sink`. The handle has a `fn of(Arc<Inner>) -> Self` and a `fn inner(&self) -> &Arc<Inner>`.
macro_rules! weak_handle {
    ($(#[$doc:meta])* $weak:ident, $(#[$upgrade_doc:meta])* upgrade to $handle:ident $(, events: $event:ty)?) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $weak {
            inner: std::sync::Weak<Inner>,
        }

        impl $weak {
            $(#[$upgrade_doc])*
            #[must_use]
            pub fn upgrade(&self) -> Option<$handle> {
                self.inner.upgrade().map($handle::of)
            }
        }

        impl std::fmt::Debug for $weak {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($weak)).finish_non_exhaustive()
            }
        }

        impl $handle {
            /// A handle that does not keep it open.
            #[must_use]
            pub fn downgrade(&self) -> $weak {
                $weak { inner: std::sync::Arc::downgrade(self.inner()) }
            }

            $(
                /// What takes its events.
                pub(crate) fn sink(&self) -> std::sync::Weak<dyn $crate::driver::Sink<$event>> {
                    let weak: std::sync::Weak<Inner> = std::sync::Arc::downgrade(self.inner());
                    weak
                }
            )?
        }
    };
}

/// Implements what a handle of one kind needs of [`weak_handle`].
macro_rules! handle_of_inner {
    ($handle:ident) => {
        impl $handle {
            fn of(inner: std::sync::Arc<Inner>) -> Self {
                Self { inner }
            }

            fn inner(&self) -> &std::sync::Arc<Inner> {
                &self.inner
            }
        }
    };
}

/// Implements the same for a handle that is an enum of one for transports to the network and one for DirectTransports,
/// with the conversions between the three. `Inner` has an `is_direct` and a `fmt_as`.
macro_rules! handle_by_transport {
    ($handle:ident: $regular:ident, $direct:ident) => {
        impl $handle {
            fn of(inner: std::sync::Arc<Inner>) -> Self {
                if inner.is_direct() {
                    Self::Direct($direct { inner })
                } else {
                    Self::Regular($regular { inner })
                }
            }

            fn inner(&self) -> &std::sync::Arc<Inner> {
                match self {
                    Self::Regular(regular) => &regular.inner,
                    Self::Direct(direct) => &direct.inner,
                }
            }
        }

        impl From<$regular> for $handle {
            fn from(regular: $regular) -> Self {
                Self::Regular(regular)
            }
        }

        impl From<$direct> for $handle {
            fn from(direct: $direct) -> Self {
                Self::Direct(direct)
            }
        }

        impl std::fmt::Debug for $handle {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self {
                    Self::Regular(regular) => f.debug_tuple("Regular").field(regular).finish(),
                    Self::Direct(direct) => f.debug_tuple("Direct").field(direct).finish(),
                }
            }
        }

        impl std::fmt::Debug for $regular {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.inner.fmt_as(stringify!($regular), f)
            }
        }

        impl std::fmt::Debug for $direct {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.inner.fmt_as(stringify!($direct), f)
            }
        }
    };
}

pub(crate) use {handle_by_transport, handle_of_inner, weak_handle};
