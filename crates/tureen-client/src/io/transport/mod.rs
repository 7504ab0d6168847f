//! Transports of the client.

/// What both kinds of transport can do.
macro_rules! common_methods {
    ($name:ident) => {
        impl $name {
            /// Id of the server's transport.
            pub fn id(&self) -> &str {
                &self.base.options().id
            }

            /// The application's own data, from the options.
            pub fn app_data(&self) -> &AppData {
                &self.base.options().app_data
            }

            /// State of the connection.
            pub fn connection_state(&self) -> ConnectionState {
                self.base.shared().state()
            }

            /// Follows the state of the connection: the receiver sees the latest state.
            pub fn connection_states(&self) -> watch::Receiver<ConnectionState> {
                self.base.shared().subscribe()
            }

            /// Why the connection failed.
            pub fn failure(&self) -> Option<&FailureReason> {
                self.base.shared().failure()
            }

            /// True once the application has closed the transport, or the server has closed DTLS.
            pub fn closed(&self) -> bool {
                self.connection_state() == ConnectionState::Closed
            }

            /// Connects anew by new ICE parameters of the server's transport, which has restarted ICE. Media goes on over
            /// the old path until the new one answers. Before the transport has begun to connect, the parameters replace
            /// those of the options.
            ///
            /// # Errors
            /// [`TransportError::Closed`], or parameters that can't be used.
            pub async fn restart_ice(&self, ice_parameters: IceParameters) -> Result<(), TransportError> {
                self.base.restart_ice(ice_parameters).await
            }

            /// Counters and state. All zero before the transport has begun to connect.
            ///
            /// # Errors
            /// [`TransportError::Closed`].
            pub async fn stats(&self) -> Result<TransportStats, TransportError> {
                self.base.stats().await
            }

            /// Calls `callback` when the transport is closed, until the returned id is dropped.
            #[must_use = "the callback is removed when the id is dropped"]
            pub fn on_close(&self, callback: impl FnOnce() + Send + 'static) -> HandlerId {
                self.base.shared().on_close(Box::new(callback))
            }

            /// Closes the transport with all that is on it. The server's transport learns of it by DTLS; signalling is
            /// the application's.
            pub fn close(&self) {
                self.base.close();
            }
        }
    };
}

mod base;
mod handler;
mod options;
mod recv;
mod send;
mod state;
mod stats;

pub(super) use self::base::Registration;
pub use self::handler::{
    ProduceDataRequest, ProduceRequest, RecvTransportHandler, SendTransportHandler, TransportHandler,
};
pub use self::options::TransportOptions;
pub use self::recv::RecvTransport;
pub use self::send::{ProduceRtpOptions, SendTransport};
pub use self::state::ConnectionState;
pub(super) use self::state::TransportShared;
pub use self::stats::TransportStats;
use common_methods;
