//! The parts of handles that are alike for several kinds of objects.

use std::fmt;

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
            /// A handle that does not keep the object open.
            #[must_use]
            pub fn downgrade(&self) -> $weak {
                $weak { inner: std::sync::Arc::downgrade(self.inner()) }
            }

            $(
                /// The receiver of the object's events.
                pub(crate) fn sink(&self) -> std::sync::Weak<dyn $crate::threads::Sink<$event>> {
                    let weak: std::sync::Weak<Inner> = std::sync::Arc::downgrade(self.inner());
                    weak
                }
            )?
        }
    };
}

/// Implements `of` and `inner` for a handle that is a struct.
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

/// Implements `of` and `inner` for a handle that is an enum of one handle for transports to the network and one for
/// DirectTransports, and the conversions between the three. `Inner` has an `is_direct` and a `fmt_as`.
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

/// Implements the methods that the handles of producers and consumers, of media and of data, have alike. `Inner` has an
/// `object`.
macro_rules! impl_on_transport {
    ($handle:ident: $id:ident, $noun:literal) => {
        impl $handle {
            #[doc = concat!("Identifier of the ", $noun, ".")]
            #[must_use]
            pub fn id(&self) -> $id {
                self.inner().object.id()
            }

            #[doc = concat!("Transport of the ", $noun, ".")]
            pub fn transport(&self) -> &std::sync::Arc<dyn $crate::transport::Transport> {
                self.inner().object.parent()
            }

            /// Custom application data.
            #[must_use]
            pub fn app_data(&self) -> &$crate::data_structures::AppData {
                self.inner().object.app_data()
            }

            #[doc = concat!("True if the ", $noun, " is closed.")]
            #[must_use]
            pub fn closed(&self) -> bool {
                self.inner().object.closed()
            }

            #[doc = concat!("Closes the ", $noun, " even if other handles of it are left.")]
            ///
            /// The request is sent at once; the future completes when the worker has served it. Dropping the future does
            /// not cancel the request. Not in the mediasoup crate, where an object is closed with its last handle.
            pub fn close(&self) -> impl Future<Output = ()> + Send + use<> {
                self.inner().object.close_and_wait()
            }

            #[doc = concat!("Calls `callback` when the transport is closed for any reason, and the ", $noun, " with it.")]
            pub fn on_transport_close<F: FnOnce() + Send + 'static>(
                &self,
                callback: F,
            ) -> event_listener_primitives::HandlerId {
                self.inner().object.on_parent_close(Box::new(callback))
            }

            #[doc = concat!("Calls `callback` when the ", $noun, " is closed for any reason; at once if it is closed already.")]
            pub fn on_close<F: FnOnce() + Send + 'static>(
                &self,
                callback: F,
            ) -> event_listener_primitives::HandlerId {
                self.inner().object.on_close(Box::new(callback))
            }
        }
    };
}

/// A handle with a function that takes it on drop, and so keeps its object open.
pub(crate) struct NonClosing<Handle> {
    handle: Handle,
    on_drop: Option<Box<dyn FnOnce(Handle) + Send>>,
}

impl<Handle: Clone> NonClosing<Handle> {
    pub(crate) fn new(handle: Handle, on_drop: impl FnOnce(Handle) + Send + 'static) -> Self {
        Self { handle, on_drop: Some(Box::new(on_drop)) }
    }

    /// The ordinary handle. Nothing is done on drop any more.
    pub(crate) fn release(&mut self) -> Handle {
        self.on_drop = None;
        self.handle.clone()
    }

    /// To be called on drop of the owner.
    pub(crate) fn on_drop(&mut self) {
        if let Some(on_drop) = self.on_drop.take() {
            on_drop(self.handle.clone());
        }
    }
}

impl<Handle: fmt::Debug> fmt::Debug for NonClosing<Handle> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.handle.fmt(f)
    }
}

pub(crate) use {handle_by_transport, handle_of_inner, impl_on_transport, weak_handle};
