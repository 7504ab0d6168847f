//! What the handles of all kinds of transport have in common.

/// Implements [`Transport`](super::Transport) and [`TransportGeneric`](super::TransportGeneric) for a handle whose
/// `inner.base` is a [`TransportBase`](super::TransportBase).
macro_rules! impl_transport {
    ($transport:ty, $dump:ty, $stat:ty) => {
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
                    self.inner.base.closed()
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
                    self.inner.base.handlers.router_close.add(callback)
                }

                fn on_close(&self, callback: Box<dyn FnOnce() + Send + 'static>) -> HandlerId {
                    self.inner.base.on_close(callback)
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

pub(in crate::router) use impl_transport;
