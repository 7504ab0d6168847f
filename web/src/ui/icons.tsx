/** Line icons on a 24-pixel grid. They are decoration: the control around them has the label. */

import type { ComponentChildren } from 'preact';

function Icon({ children }: { children: ComponentChildren }) {
  return (
    <svg
      class="icon"
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      stroke-width="1.8"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
    >
      {children}
    </svg>
  );
}

export const LogoIcon = () => (
  <Icon>
    <path d="M3 11.5h18c0 5-3.5 8.5-9 8.5s-9-3.5-9-8.5Z" />
    <path d="M5.5 11.5C6 8 8.5 6 12 6s6 2 6.5 5.5M12 6V3.5" />
  </Icon>
);

export const MicIcon = () => (
  <Icon>
    <rect x="9" y="3" width="6" height="11" rx="3" />
    <path d="M5.5 11.5a6.5 6.5 0 0 0 13 0M12 18v3" />
  </Icon>
);

export const MicOffIcon = () => (
  <Icon>
    <path d="M15 10V6a3 3 0 0 0-5.8-1M9 9.5V11a3 3 0 0 0 4.5 2.6" />
    <path d="M5.5 11.5a6.5 6.5 0 0 0 10.2 5.3M18.5 11.5c0 .8-.1 1.5-.4 2.2M12 18v3M4 4l16 16" />
  </Icon>
);

export const CameraIcon = () => (
  <Icon>
    <rect x="3" y="6.5" width="12.5" height="11" rx="2.5" />
    <path d="m15.5 11 5-3v8l-5-3" />
  </Icon>
);

export const CameraOffIcon = () => (
  <Icon>
    <path d="M10 6.5h3A2.5 2.5 0 0 1 15.5 9v2l5-3v8l-2-1.2M15.3 15.5a2.5 2.5 0 0 1-2.3 2H5.5A2.5 2.5 0 0 1 3 15V9c0-1 .6-1.9 1.5-2.3M4 4l16 16" />
  </Icon>
);

export const LeaveIcon = () => (
  <Icon>
    <path
      d="M3.3 14.6c-.5-.6-.7-1.3-.5-2C3.7 9.5 7.5 8 12 8s8.3 1.5 9.2 4.6c.2.7 0 1.4-.5 2l-1 1.1a1.5 1.5 0 0 1-1.7.4l-2.3-.9a1.5 1.5 0 0 1-1-1.4v-1.3a11 11 0 0 0-5.4 0v1.3a1.5 1.5 0 0 1-1 1.4l-2.3.9a1.5 1.5 0 0 1-1.7-.4Z"
    />
  </Icon>
);

export const LinkIcon = () => (
  <Icon>
    <path d="M10 14a4 4 0 0 0 5.7 0l3-3A4 4 0 0 0 13 5.3l-1 1M14 10a4 4 0 0 0-5.7 0l-3 3A4 4 0 0 0 11 18.7l1-1" />
  </Icon>
);

export const CheckIcon = () => (
  <Icon>
    <path d="m5 12.5 4.5 4.5L19 7.5" />
  </Icon>
);

export const CloseIcon = () => (
  <Icon>
    <path d="m6 6 12 12M18 6 6 18" />
  </Icon>
);

export const SettingsIcon = () => (
  <Icon>
    <path d="M4 7h9M19 7h1M4 17h1M11 17h9" />
    <circle cx="16" cy="7" r="2.5" />
    <circle cx="8" cy="17" r="2.5" />
  </Icon>
);

export const BroadcastIcon = () => (
  <Icon>
    <circle cx="12" cy="12" r="2.2" />
    <path d="M7.8 16.2a6 6 0 0 1 0-8.4M16.2 7.8a6 6 0 0 1 0 8.4M4.9 19.1a10 10 0 0 1 0-14.2M19.1 4.9a10 10 0 0 1 0 14.2" />
  </Icon>
);

export const ChartIcon = () => (
  <Icon>
    <path d="M4 4v15.5h16" />
    <path d="m7.5 15 3.5-4.5 3 2.5 5-6.5" />
  </Icon>
);

export const ChatIcon = () => (
  <Icon>
    <path d="M20 11.5a7.5 7.5 0 0 1-7.5 7.5c-1.3 0-2.6-.3-3.7-.9L4 19.5l1.4-4.3A7.5 7.5 0 1 1 20 11.5Z" />
  </Icon>
);

export const SendIcon = () => (
  <Icon>
    <path d="M4.5 12h14M13 6.5l5.5 5.5-5.5 5.5" />
  </Icon>
);

export const PeopleIcon = () => (
  <Icon>
    <circle cx="9" cy="8.5" r="3.2" />
    <path d="M3 19c.5-3.5 2.8-5.2 6-5.2s5.5 1.7 6 5.2M15.5 5.6a3.2 3.2 0 0 1 0 5.8M17.5 14.2c2 .7 3.2 2.3 3.5 4.8" />
  </Icon>
);

export const WarningIcon = () => (
  <Icon>
    <path d="M12 4 2.8 19.5h18.4L12 4ZM12 10v4.5M12 17.2v.1" />
  </Icon>
);

export const ScreenIcon = () => (
  <Icon>
    <rect x="3" y="4.5" width="18" height="12" rx="2" />
    <path d="M9 20h6M12 13.5v-6M9.3 10 12 7.3l2.7 2.7" />
  </Icon>
);

export const PinIcon = () => (
  <Icon>
    <path d="M8.5 3.5h7M9.5 3.5v6L6.5 13v1.5h11V13l-3-3.5v-6M12 14.5v6" />
  </Icon>
);

export const MoveIcon = () => (
  <Icon>
    <path d="M12 3.5v17M3.5 12h17M9.5 6 12 3.5 14.5 6M9.5 18l2.5 2.5 2.5-2.5M6 9.5 3.5 12 6 14.5M18 9.5l2.5 2.5-2.5 2.5" />
  </Icon>
);

export const PreviousIcon = () => (
  <Icon>
    <path d="m14.5 6-6 6 6 6" />
  </Icon>
);

export const NextIcon = () => (
  <Icon>
    <path d="m9.5 6 6 6-6 6" />
  </Icon>
);

export const HandIcon = () => (
  <Icon>
    <path d="M7.5 12.5V6.8a1.4 1.4 0 0 1 2.8 0v4.4M10.3 11V4.9a1.4 1.4 0 0 1 2.8 0V11M13.1 11V6a1.4 1.4 0 0 1 2.8 0v5.6M15.9 11.6V8.8a1.4 1.4 0 0 1 2.8 0v5.4c0 3.8-2.3 6.3-5.9 6.3-2.8 0-4.4-1.2-5.8-3.6l-2.3-4a1.4 1.4 0 0 1 2.3-1.5l.5.7" />
  </Icon>
);

export const SmileIcon = () => (
  <Icon>
    <circle cx="12" cy="12" r="8.5" />
    <path d="M8.3 14a4.3 4.3 0 0 0 7.4 0M9 9.6v.1M15 9.6v.1" />
  </Icon>
);

export const MoreIcon = () => (
  <Icon>
    <path d="M5.5 12v.1M12 12v.1M18.5 12v.1" stroke-width="3" />
  </Icon>
);

export const UpIcon = () => (
  <Icon>
    <path d="m6.5 14.5 5.5-5.5 5.5 5.5" />
  </Icon>
);

export const FullScreenIcon = () => (
  <Icon>
    <path d="M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5" />
  </Icon>
);

export const PictureInPictureIcon = () => (
  <Icon>
    <rect x="3" y="5" width="18" height="14" rx="2" />
    <path d="M12.5 12.5h5.5v3.5h-5.5z" />
  </Icon>
);

export const KeyboardIcon = () => (
  <Icon>
    <rect x="2.5" y="6" width="19" height="12" rx="2" />
    <path d="M6.5 10v.1M10 10v.1M13.5 10v.1M17 10v.1M8 14h8" />
  </Icon>
);

export const AutoLayoutIcon = () => (
  <Icon>
    <rect x="3" y="5" width="18" height="14" rx="2" />
    <path d="m9 15 3-6.5 3 6.5M10 13h4" />
  </Icon>
);

export const GridIcon = () => (
  <Icon>
    <rect x="3" y="5" width="8" height="6" rx="1.2" />
    <rect x="13" y="5" width="8" height="6" rx="1.2" />
    <rect x="3" y="13" width="8" height="6" rx="1.2" />
    <rect x="13" y="13" width="8" height="6" rx="1.2" />
  </Icon>
);

export const SpeakerLayoutIcon = () => (
  <Icon>
    <rect x="3" y="5" width="18" height="14" rx="2" />
    <circle cx="12" cy="10.5" r="2.2" />
    <path d="M7.8 19c.3-3 1.9-4.4 4.2-4.4s3.9 1.4 4.2 4.4" />
  </Icon>
);

export const SidebarIcon = () => (
  <Icon>
    <rect x="3" y="5" width="12" height="14" rx="1.5" />
    <path d="M18 6h3M18 10h3M18 14h3M18 18h3" stroke-width="2.4" />
  </Icon>
);

export const PersonIcon = () => (
  <Icon>
    <circle cx="12" cy="8.5" r="3.7" />
    <path d="M5 19.5c.6-3.8 3.2-5.7 7-5.7s6.4 1.9 7 5.7" />
  </Icon>
);
