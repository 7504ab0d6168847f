/**
 * The messages of the room server, as types: what a client asks, what the server asks, and what
 * it tells. Nothing here runs.
 */

import type { types } from 'mediasoup-client';

/** What a participant runs on. */
export interface DeviceInfo {
  flag: string;
  name: string;
  version: string;
}

export interface PeerInfo {
  id: string;
  displayName: string;
  device: DeviceInfo;
}

/** The server-side half of a WebRTC transport. */
export interface TransportInfo {
  id: string;
  iceParameters: types.IceParameters;
  iceCandidates: types.IceCandidate[];
  dtlsParameters: types.DtlsParameters;
  sctpParameters?: types.SctpParameters;
}

export type ConsumerType = 'simple' | 'simulcast' | 'svc' | 'pipe';

/** Scores go from 0 (nothing arrives) to 10 (perfect). */
export interface ConsumerScore {
  score: number;
  producerScore: number;
  producerScores: number[];
}

export interface ProducerScore {
  ssrc: number;
  rid?: string;
  score: number;
  encodingIdx: number;
}

/** The highest layers that are wanted of a video, counted from 0. */
export interface PreferredLayers {
  spatialLayer: number;
  temporalLayer?: number;
}

/** What a client may answer to `newConsumer`: what it wants from the first picture on. */
export interface NewConsumerAnswer {
  preferredLayers?: PreferredLayers;
}

type Empty = Record<string, never>;

/** Requests of the client: method → [data, answer]. */
export interface ClientRequests {
  getRouterRtpCapabilities: [Empty, types.RtpCapabilities];
  createWebRtcTransport: [
    { forceTcp: boolean; producing: boolean; consuming: boolean; sctpCapabilities?: object },
    TransportInfo,
  ];
  connectWebRtcTransport: [{ transportId: string; dtlsParameters: types.DtlsParameters }, Empty];
  restartIce: [{ transportId: string }, types.IceParameters];
  /** Before joining: the server makes consumers already, whose media comes with the join. */
  prepare: [{ rtpCapabilities: types.RtpCapabilities }, Empty];
  join: [
    {
      displayName: string;
      device: DeviceInfo;
      rtpCapabilities?: types.RtpCapabilities;
      sctpCapabilities?: object;
    },
    { peers: PeerInfo[] },
  ];
  produce: [
    {
      transportId: string;
      kind: types.MediaKind;
      rtpParameters: types.RtpParameters;
      appData: types.AppData;
    },
    { id: string },
  ];
  produceData: [
    {
      transportId: string;
      sctpStreamParameters: types.SctpStreamParameters;
      label: string;
      protocol: string;
      appData: types.AppData;
    },
    { id: string },
  ];
  closeProducer: [{ producerId: string }, Empty];
  pauseProducer: [{ producerId: string }, Empty];
  resumeProducer: [{ producerId: string }, Empty];
  pauseConsumer: [{ consumerId: string }, Empty];
  resumeConsumer: [{ consumerId: string }, Empty];
  requestConsumerKeyFrame: [{ consumerId: string }, Empty];
  setConsumerPreferredLayers: [{ consumerId: string } & PreferredLayers, Empty];
  setConsumerPriority: [{ consumerId: string; priority: number }, Empty];
  changeDisplayName: [{ displayName: string }, Empty];
  getTransportStats: [{ transportId: string }, object[]];
  getProducerStats: [{ producerId: string }, object[]];
  getConsumerStats: [{ consumerId: string }, object[]];
  getDataProducerStats: [{ dataProducerId: string }, object[]];
  getDataConsumerStats: [{ dataConsumerId: string }, object[]];
}

export type ClientMethod = keyof ClientRequests;
export type RequestData<M extends ClientMethod> = ClientRequests[M][0];
export type ResponseData<M extends ClientMethod> = ClientRequests[M][1];

/** Requests of the server, which the client answers: method → data. */
export interface ServerRequests {
  newConsumer: {
    peerId: string;
    producerId: string;
    id: string;
    kind: types.MediaKind;
    rtpParameters: types.RtpParameters;
    type: ConsumerType;
    appData: types.AppData;
    producerPaused: boolean;
  };
  newDataConsumer: {
    /** Null for the room's bot. */
    peerId: string | null;
    dataProducerId: string;
    id: string;
    sctpStreamParameters: types.SctpStreamParameters;
    label: string;
    protocol: string;
    appData: types.AppData;
  };
}

/** Notifications of the server: method → data. */
export interface ServerNotifications {
  /** `sessionSecret`: gets this peer's place back, in the URL of the next connection. */
  'mediasoup-version': { version: string; sessionSecret?: string };
  newPeer: PeerInfo;
  peerClosed: { peerId: string };
  peerDisplayNameChanged: { peerId: string; displayName: string; oldDisplayName: string };
  producerScore: { producerId: string; score: ProducerScore[] };
  consumerScore: { consumerId: string; score: ConsumerScore };
  consumerClosed: { consumerId: string };
  consumerPaused: { consumerId: string };
  consumerResumed: { consumerId: string };
  consumerLayersChanged: {
    consumerId: string;
    spatialLayer: number | null;
    temporalLayer: number | null;
  };
  dataConsumerClosed: { dataConsumerId: string };
  /** This peer may no longer send it. */
  producerClosed: { producerId: string };
  /** A moderator has muted it. */
  producerMuted: { producerId: string; kind: 'audio' | 'video'; source: string };
  /** This peer may send more, or less. */
  permissionsChanged: object;
  /** A moderator has removed this peer. */
  removedFromRoom: { bannedUntil: number | null };
  activeSpeaker: { peerId?: string | null; volume?: number };
  downlinkBwe: {
    desiredBitrate: number;
    effectiveDesiredBitrate: number;
    availableBitrate: number;
  };
}

/** A map of method → data as a union of `{ method, data }`, to switch over. */
type Messages<T> = { [M in keyof T]: { method: M; data: T[M] } }[keyof T];

export type ServerRequest = Messages<ServerRequests>;
export type ServerNotification = Messages<ServerNotifications>;
