//! What the handles of all kinds of transport have in common.

/// Implements [`Transport`](super::Transport) and [`TransportGeneric`](super::TransportGeneric) for a handle whose
/// `inner.base` is a [`TransportBase`](super::TransportBase), and defines its weak form.
macro_rules! impl_transport {
    ($transport:ident, $weak:ident, $dump:ty, $stat:ty) => {
        $crate::handles::handle_of_inner!($transport);

        $crate::handles::weak_handle! {
            #[doc = concat!("A handle of a [`", stringify!($transport), "`] that does not keep it open.")]
            $weak,
            /// The transport, if a handle of it, of a producer or of a consumer on it is left.
            upgrade to $transport, events: tureen_engine::api::TransportEvent
        }

        const _: () = {
            use std::sync::Arc;

            use event_listener_primitives::HandlerId;

            use $crate::consumer::{Consumer, ConsumerOptions};
            use $crate::data_consumer::{DataConsumer, DataConsumerOptions};
            use $crate::data_producer::{DataProducer, DataProducerOptions};
            use $crate::data_structures::AppData;
            use $crate::lifetime::WorkerObject;
            use $crate::producer::{Producer, ProducerOptions};
            use $crate::router::Router;
            use $crate::transport::{
                ConsumeDataError, ConsumeError, ProduceDataError, ProduceError, Transport, TransportGeneric,
                TransportId, TransportTraceEventData, TransportTraceEventType,
            };
            use $crate::worker::RequestError;

            impl $transport {
                /// Closes the transport with all that is on it, whoever else has handles of it. Handles that are left are of
                /// closed objects.
                ///
                /// The worker is told at once. The future is done when it has closed the transport: its port may be used
                /// again. Dropping the future takes nothing back. Not in the mediasoup crate, where a transport is closed
                /// with its last handle.
                pub fn close(&self) -> impl Future<Output = ()> + Send + use<> {
                    WorkerObject::close_and_wait(&self.inner.base)
                }
            }

            #[async_trait::async_trait]
            impl Transport for $transport {
                fn id(&self) -> TransportId {
                    self.inner.base.id
                }

                fn router(&self) -> &Router {
                    &self.inner.base.router
                }

                fn app_data(&self) -> &AppData {
                    &self.inner.base.app_data
                }

                fn closed(&self) -> bool {
                    self.inner.base.lifetime.closed()
                }

                async fn produce(&self, options: ProducerOptions) -> Result<Producer, ProduceError> {
                    self.inner.base.produce(Arc::new(self.clone()), options).await
                }

                async fn consume(&self, options: ConsumerOptions) -> Result<Consumer, ConsumeError> {
                    self.inner.base.consume(Arc::new(self.clone()), options).await
                }

                async fn produce_data(
                    &self,
                    options: DataProducerOptions,
                ) -> Result<DataProducer, ProduceDataError> {
                    self.inner.base.produce_data(Arc::new(self.clone()), options).await
                }

                async fn consume_data(
                    &self,
                    options: DataConsumerOptions,
                ) -> Result<DataConsumer, ConsumeDataError> {
                    self.inner.base.consume_data(Arc::new(self.clone()), options).await
                }

                async fn enable_trace_event(
                    &self,
                    types: Vec<TransportTraceEventType>,
                ) -> Result<(), RequestError> {
                    self.inner.base.enable_trace_event(&types).await
                }

                fn on_new_producer(
                    &self,
                    callback: Arc<dyn Fn(&Producer) + Send + Sync + 'static>,
                ) -> HandlerId {
                    self.inner.base.handlers.new_producer.add(callback)
                }

                fn on_new_consumer(
                    &self,
                    callback: Arc<dyn Fn(&Consumer) + Send + Sync + 'static>,
                ) -> HandlerId {
                    self.inner.base.handlers.new_consumer.add(callback)
                }

                fn on_new_data_producer(
                    &self,
                    callback: Arc<dyn Fn(&DataProducer) + Send + Sync + 'static>,
                ) -> HandlerId {
                    self.inner.base.handlers.new_data_producer.add(callback)
                }

                fn on_new_data_consumer(
                    &self,
                    callback: Arc<dyn Fn(&DataConsumer) + Send + Sync + 'static>,
                ) -> HandlerId {
                    self.inner.base.handlers.new_data_consumer.add(callback)
                }

                fn on_trace(
                    &self,
                    callback: Arc<dyn Fn(&TransportTraceEventData) + Send + Sync + 'static>,
                ) -> HandlerId {
                    self.inner.base.handlers.trace.add(callback)
                }

                fn on_router_close(&self, callback: Box<dyn FnOnce() + Send + 'static>) -> HandlerId {
                    self.inner.base.lifetime.on_parent_close(callback)
                }

                fn on_close(&self, callback: Box<dyn FnOnce() + Send + 'static>) -> HandlerId {
                    self.inner.base.lifetime.on_close(callback)
                }
            }

            #[async_trait::async_trait]
            impl TransportGeneric for $transport {
                type Dump = $dump;
                type Stat = $stat;

                async fn dump(&self) -> Result<Self::Dump, RequestError> {
                    self.inner.base.dump().await?.try_into()
                }

                async fn get_stats(&self) -> Result<Vec<Self::Stat>, RequestError> {
                    Ok(vec![self.inner.base.stats().await?.try_into()?])
                }
            }
        };
    };
}

/// Adds what a handle of a transport with SCTP tells of that.
macro_rules! impl_sctp_transport {
    ($transport:ident) => {
        impl $transport {
            /// Parameters of its SCTP association.
            #[must_use]
            pub fn sctp_parameters(&self) -> Option<$crate::sctp_parameters::SctpParameters> {
                self.inner.base.sctp().map(|sctp| sctp.parameters)
            }

            /// State of its SCTP association.
            #[must_use]
            pub fn sctp_state(&self) -> Option<$crate::data_structures::SctpState> {
                self.inner.base.sctp().map(|sctp| sctp.state)
            }

            /// What both SCTP sides agreed on, once connected.
            #[must_use]
            pub fn sctp_negotiated_capabilities(
                &self,
            ) -> Option<$crate::sctp_parameters::SctpNegotiatedCapabilities> {
                self.inner.base.sctp()?.negotiated_capabilities
            }

            /// Called when its SCTP association changes state.
            pub fn on_sctp_state_change<F>(&self, callback: F) -> event_listener_primitives::HandlerId
            where
                F: Fn($crate::data_structures::SctpState) + Send + Sync + 'static,
            {
                self.inner.base.handlers.sctp_state_change.add(std::sync::Arc::new(callback))
            }
        }
    };
}

pub(crate) use {impl_sctp_transport, impl_transport};
