/**
 * Types of the room server's messages: requests of the client, requests of the server, and notifications. This file
 * contains no code.
 */

import type { types } from 'mediasoup-client';

/** Browser or program of a participant. */
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

/** Server side of a WebRTC transport. */
export interface TransportInfo {
  id: string;
  iceParameters: types.IceParameters;
  iceCandidates: types.IceCandidate[];
  dtlsParameters: types.DtlsParameters;
  sctpParameters?: types.SctpParameters;
}

export type ConsumerType = 'simple' | 'simulcast' | 'svc' | 'pipe';

/** Scores from 0 (no packets arrive) to 10 (perfect). */
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

/** Highest requested layers of a video, from 0. */
export interface PreferredLayers {
  spatialLayer: number;
  temporalLayer?: number;
}

/** Optional response to `newConsumer`: settings that apply from the first frame. */
export interface NewConsumerAnswer {
  preferredLayers?: PreferredLayers;
}

type Empty = Record<string, never>;

/** Requests of the client: method → [data, response]. */
export interface ClientRequests {
  getRouterRtpCapabilities: [Empty, types.RtpCapabilities];
  createWebRtcTransport: [
    { forceTcp: boolean; producing: boolean; consuming: boolean; sctpCapabilities?: object },
    TransportInfo,
  ];
  connectWebRtcTransport: [{ transportId: string; dtlsParameters: types.DtlsParameters }, Empty];
  restartIce: [{ transportId: string }, types.IceParameters];
  /** Before joining: the server creates consumers already, whose media starts with `join`. */
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

/** Requests of the server to the client: method → data. */
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
  /** `sessionSecret` in the URL of the next connection lets it replace this one. */
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

/** Turns a map of method → data into a union of `{ method, data }` for `switch`. */
type Messages<T> = { [M in keyof T]: { method: M; data: T[M] } }[keyof T];

export type ServerRequest = Messages<ServerRequests>;
export type ServerNotification = Messages<ServerNotifications>;
