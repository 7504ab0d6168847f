//! The room's bot: repeats to everybody what a peer says to it.

use tracing::{debug, warn};
use tureen::{
    data_consumer::{DataConsumer, DataConsumerOptions},
    data_producer::{DataProducer, DataProducerOptions},
    direct_transport::{DirectTransport, DirectTransportOptions},
    prelude::*,
};

use super::{MakeRoomError, Session, data::DataSource};

/// Label of the bot's data producer, and of those that speak to it.
pub(super) const BOT: &str = "bot";

/// The longest message to and from the bot (bytes).
const MAX_MESSAGE: u32 = 512;

/// The bot's end of the room's data channels.
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

    /// What all peers hear of the bot.
    pub(super) fn source(&self) -> DataSource {
        DataSource { peer_id: None, data_producer: self.voice.clone(), app_data: Default::default() }
    }

    /// Answers what comes from a data producer of `speaker`, for as long as the returned consumer lives.
    pub(super) async fn listen(&self, speaker: &Session, id: DataProducerId) -> Option<DataConsumer> {
        let ears = match self.transport.consume_data(DataConsumerOptions::new_direct(id, None)).await {
            Ok(ears) => ears,
            Err(error) => {
                if speaker.link().tally().may_log() {
                    warn!(peer = speaker.link().name(), %error, "the bot can't hear");
                }
                return None;
            }
        };
        let (voice, speaker) = (self.voice.clone(), speaker.clone());
        let answer = move |message: &WebRtcMessage<'_>| {
            let WebRtcMessage::String(text) = message else { return };
            let (Ok(text), Some(name)) = (std::str::from_utf8(text), speaker.display_name()) else { return };
            let answer = format!("{name} said me: \"{text}\"");
            let DataProducer::Direct(voice) = &voice else { return };
            if let Err(error) =
                voice.send(WebRtcMessage::String(answer.into_bytes().into()), None, None, None)
            {
                debug!(peer = speaker.link().name(), %error, "the bot can't answer");
            }
        };
        ears.on_message(answer).detach();
        Some(ears)
    }
}
