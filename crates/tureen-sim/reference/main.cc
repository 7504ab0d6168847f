// libwebrtc's congestion control, driven line by line: the reference of `tureen-sim --example congestion`.
//
// Each line on stdin is an event at a virtual time, in microseconds that never decrease. Each event is answered by one
// line on stdout before the next one is read, so that both sides have the same time:
//
//   start NOW INITIAL MIN MAX DESIRED   first event; rates in bit/s
//   tick NOW                            every 25 ms
//   sent NOW NUMBER SIZE                a sent packet: its number, counted from zero, and its size in bytes
//   feedback NOW NUMBER:ARRIVAL ...     transport-wide feedback: the arrival time of each packet, by the receiver's clock
//                                       in microseconds, or "-" for a lost packet
//
//   TARGET PACING DUE BYTES             the answer: rates in bit/s; the time of the next burst of a probe and its minimum
//                                       size in bytes, or "- 0" without a probe
//
// All packets that are sent during a probe belong to it, media and padding, as in libwebrtc's pacer.

#define MS_CLASS "reference"

#include "DepLibUV.hpp"
#include "Logger.hpp"
#include "api/transport/field_trial_based_config.h"
#include "api/transport/goog_cc_factory.h"
#include "modules/pacing/bitrate_prober.h"
#include "system_wrappers/source/field_trial.h"

#include <algorithm>
#include <deque>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>

namespace {

// Default of mediasoup.
constexpr char kFieldTrials[] = "WebRTC-Bwe-AlrLimitedBackoff/Enabled/";
// Number of sent packets that feedback can refer to.
constexpr size_t kHistory = 1 << 15;

// This version of libwebrtc stores sending and arrival times in milliseconds.
webrtc::Timestamp Milliseconds(int64_t us) {
  return webrtc::Timestamp::ms(us / 1000);
}

class Reference {
 public:
  Reference(int64_t initial, int64_t min, int64_t max, int64_t desired) : prober_(trials_) {
    const webrtc::Timestamp now = Now();
    webrtc::NetworkControllerConfig config;
    config.key_value_config = &trials_;
    config.constraints.at_time = now;
    config.constraints.starting_rate = webrtc::DataRate::bps(initial);
    config.constraints.min_data_rate = webrtc::DataRate::bps(min);
    config.constraints.max_data_rate = webrtc::DataRate::bps(max);
    config.stream_based_config.requests_alr_probing = true;
    config.stream_based_config.max_total_allocated_bitrate = webrtc::DataRate::bps(desired);

    webrtc::GoogCcFactoryConfig factory_config;
    factory_config.feedback_only = true;
    controller_ = webrtc::GoogCcNetworkControllerFactory(std::move(factory_config)).Create(config);
    target_ = initial;
    pacing_ = initial;

    webrtc::NetworkAvailability availability;
    availability.at_time = now;
    availability.network_available = true;
    Apply(controller_->OnNetworkAvailability(availability));
    OnTick();
  }

  void OnTick() {
    webrtc::ProcessInterval interval;
    interval.at_time = Now();
    Apply(controller_->OnProcessInterval(interval));
  }

  void OnSent(int64_t number, int64_t size) {
    webrtc::SentPacket packet;
    packet.send_time = Now();
    packet.size = webrtc::DataSize::bytes(size);
    packet.sequence_number = number;
    if (prober_.IsProbing()) {
      packet.pacing_info = prober_.CurrentCluster().value_or(webrtc::PacedPacketInfo());
      prober_.ProbeSent(DepLibUV::GetTimeMs(), size);
    }
    sent_.push_back({packet, false});
    if (sent_.size() > kHistory) {
      sent_.pop_front();
    }
    Apply(controller_->OnSentPacket(packet));
  }

  // `packets` is the rest of the line.
  bool OnFeedback(std::istream& packets) {
    webrtc::TransportPacketsFeedback feedback;
    feedback.feedback_time = Now();
    int64_t number = 0;
    char colon = 0;
    std::string arrival;
    while (packets >> number >> colon >> arrival) {
      const int64_t index = sent_.empty() ? -1 : number - sent_.front().packet.sequence_number;
      if (colon != ':' || index >= static_cast<int64_t>(sent_.size())) {
        return false;
      }
      if (index < 0 || sent_[index].has_arrived) {
        continue;
      }
      webrtc::PacketResult result;
      result.sent_packet = sent_[index].packet;
      if (arrival != "-") {
        result.receive_time = Milliseconds(std::stoll(arrival));
        sent_[index].has_arrived = true;
      }
      feedback.packet_feedbacks.push_back(result);
    }
    Apply(controller_->OnTransportPacketsFeedback(feedback));
    return packets.eof();
  }

  void Answer(std::ostream& out) {
    out << target_ << ' ' << pacing_ << ' ';
    if (prober_.IsProbing()) {
      const int64_t wait_ms = std::max(prober_.TimeUntilNextProbe(DepLibUV::GetTimeMs()), 0);
      out << DepLibUV::GetTimeUs() + wait_ms * 1000 << ' ' << prober_.RecommendedMinProbeSize();
    } else {
      out << "- 0";
    }
    out << std::endl;
  }

 private:
  struct Sent {
    webrtc::SentPacket packet;
    // True after feedback with an arrival time; later feedback is ignored.
    bool has_arrived;
  };

  static webrtc::Timestamp Now() { return Milliseconds(DepLibUV::now_us); }

  void Apply(const webrtc::NetworkControlUpdate& update) {
    if (update.target_rate) {
      target_ = update.target_rate->target_rate.bps();
    }
    if (update.pacer_config) {
      pacing_ = update.pacer_config->data_rate().bps();
    }
    for (const auto& probe : update.probe_cluster_configs) {
      prober_.CreateProbeCluster(probe.target_data_rate.bps(), DepLibUV::GetTimeMs(), probe.id);
    }
  }

  webrtc::FieldTrialBasedConfig trials_;
  webrtc::BitrateProber prober_;
  std::unique_ptr<webrtc::NetworkControllerInterface> controller_;
  std::deque<Sent> sent_;
  int64_t target_ = 0;
  int64_t pacing_ = 0;
};

// Returns false if the line is malformed.
bool Handle(const std::string& line, std::unique_ptr<Reference>& reference) {
  std::istringstream words(line);
  std::string event;
  if (!(words >> event >> DepLibUV::now_us)) {
    return false;
  }
  if (event == "start") {
    int64_t initial = 0, min = 0, max = 0, desired = 0;
    if (!(words >> initial >> min >> max >> desired)) {
      return false;
    }
    reference = std::make_unique<Reference>(initial, min, max, desired);
    return true;
  }
  if (!reference) {
    return false;
  }
  if (event == "tick") {
    reference->OnTick();
    return true;
  }
  if (event == "sent") {
    int64_t number = 0, size = 0;
    if (!(words >> number >> size)) {
      return false;
    }
    reference->OnSent(number, size);
    return true;
  }
  return event == "feedback" && reference->OnFeedback(words);
}

}  // namespace

int main() {
  webrtc::field_trial::InitFieldTrialsFromString(kFieldTrials);
  std::unique_ptr<Reference> reference;
  std::string line;
  while (std::getline(std::cin, line)) {
    if (!Handle(line, reference)) {
      std::cerr << "not understood: " << line << std::endl;
      return 1;
    }
    reference->Answer(std::cout);
  }
}
