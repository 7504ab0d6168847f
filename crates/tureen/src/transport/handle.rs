//! The part of a transport handle that is alike for all kinds of transport.

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
            use $crate::producer::{Producer, ProducerOptions};
            use $crate::router::Router;
            use $crate::transport::{
                ConsumeDataError, ConsumeError, ProduceDataError, ProduceError, Transport, TransportGeneric,
                TransportId, TransportTraceEventData, TransportTraceEventType,
            };
            use $crate::worker::RequestError;

            impl $transport {
                /// Closes the transport and everything on it, even if other handles of it are left.
                ///
                /// The request is sent at once; the future completes when the worker has served it, and the port is free
                /// again. Dropping the future does not cancel the request. Not in the mediasoup crate, where a transport is
                /// closed with its last handle.
                pub fn close(&self) -> impl Future<Output = ()> + Send + use<> {
                    self.inner.base.object().close_and_wait()
                }
            }

            #[async_trait::async_trait]
            impl Transport for $transport {
                fn id(&self) -> TransportId {
                    self.inner.base.id()
                }

                fn router(&self) -> &Router {
                    self.inner.base.router()
                }

                fn app_data(&self) -> &AppData {
                    self.inner.base.object().app_data()
                }

                fn closed(&self) -> bool {
                    self.inner.base.object().closed()
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
                    self.inner.base.on_new_producer(callback)
                }

                fn on_new_consumer(
                    &self,
                    callback: Arc<dyn Fn(&Consumer) + Send + Sync + 'static>,
                ) -> HandlerId {
                    self.inner.base.on_new_consumer(callback)
                }

                fn on_new_data_producer(
                    &self,
                    callback: Arc<dyn Fn(&DataProducer) + Send + Sync + 'static>,
                ) -> HandlerId {
                    self.inner.base.on_new_data_producer(callback)
                }

                fn on_new_data_consumer(
                    &self,
                    callback: Arc<dyn Fn(&DataConsumer) + Send + Sync + 'static>,
                ) -> HandlerId {
                    self.inner.base.on_new_data_consumer(callback)
                }

                fn on_trace(
                    &self,
                    callback: Arc<dyn Fn(&TransportTraceEventData) + Send + Sync + 'static>,
                ) -> HandlerId {
                    self.inner.base.on_trace(callback)
                }

                fn on_router_close(&self, callback: Box<dyn FnOnce() + Send + 'static>) -> HandlerId {
                    self.inner.base.object().on_parent_close(callback)
                }

                fn on_close(&self, callback: Box<dyn FnOnce() + Send + 'static>) -> HandlerId {
                    self.inner.base.object().on_close(callback)
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

pub(crate) use impl_transport;
