//! The room's bot, which sends every message that it receives to all peers.

use tracing::{debug, warn};
use tureen::{
    data_consumer::{DataConsumer, DataConsumerOptions},
    data_producer::{DataProducer, DataProducerOptions},
    direct_transport::{DirectTransport, DirectTransportOptions},
    prelude::*,
};

use super::{MakeRoomError, events::DataPublication, participant::Participant};
use crate::opaque::Opaque;

/// Label of the bot's data producer, and of data producers whose messages are for the bot.
pub(super) const BOT: &str = "bot";

/// Longest message to and from the bot (bytes).
const MAX_MESSAGE: u32 = 512;

/// Data channels of the bot.
#[derive(Debug)]
pub(super) struct Bot {
    transport: DirectTransport,
    voice: DataProducer,
}

impl Bot {
    pub(super) async fn make(router: &Router) -> Result<Self, MakeRoomError> {
        let mut options = DirectTransportOptions::default();
        options.max_send_message_size = MAX_MESSAGE;
        options.max_receive_message_size = MAX_MESSAGE;
        let transport = router.create_direct_transport(options).await?;
        let mut options = DataProducerOptions::new_direct();
        options.label = BOT.to_owned();
        let voice = transport.produce_data(options).await?;
        Ok(Self { transport, voice })
    }

    /// Data producer of the bot, which all peers consume.
    pub(super) fn publication(&self) -> DataPublication {
        DataPublication {
            publisher: None,
            data_producer_id: self.voice.id(),
            label: BOT.to_owned(),
            app_data: Opaque::default(),
        }
    }

    /// Answers messages of a data producer of `speaker` until the returned consumer is dropped.
    pub(super) async fn listen(&self, speaker: &Participant, id: DataProducerId) -> Option<DataConsumer> {
        let ears = match self.transport.consume_data(DataConsumerOptions::new_direct(id, None)).await {
            Ok(ears) => ears,
            Err(error) => {
                if speaker.room.tally().may_log() {
                    warn!(peer = &*speaker.name, %error, "the bot can't hear");
                }
                return None;
            }
        };
        let (voice, speaker) = (self.voice.clone(), speaker.clone());
        let reply = move |message: &WebRtcMessage<'_>| {
            let WebRtcMessage::String(text) = message else { return };
            let (Ok(text), Some(name)) = (std::str::from_utf8(text), speaker.display_name()) else { return };
            let reply = format!("{name} said me: \"{text}\"");
            let DataProducer::Direct(voice) = &voice else { return };
            if let Err(error) = voice.send(WebRtcMessage::String(reply.into_bytes().into()), None, None, None)
            {
                debug!(peer = &*speaker.name, %error, "the bot can't answer");
            }
        };
        ears.on_message(reply).detach();
        Some(ears)
    }
}
