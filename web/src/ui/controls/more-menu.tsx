import { useId } from 'preact/hooks';
import type { ComponentChildren, ComponentType } from 'preact';
import { LAYOUTS, SELF_VIEWS } from '../stage/arrangement';
import type { Layout, SelfView } from '../stage/arrangement';
import {
  AutoLayoutIcon,
  ChartIcon,
  FullScreenIcon,
  GridIcon,
  KeyboardIcon,
  MoreIcon,
  PictureInPictureIcon,
  ScreenIcon,
  SettingsIcon,
  SidebarIcon,
  SpeakerLayoutIcon,
} from '../icons';
import { Popover } from './popover';
import { canFullScreen, canPictureInPicture, toggleFullScreen, togglePictureInPicture } from '../call/screen-modes';
import { SHORTCUTS, keysOf } from './shortcuts';
import type { ViewChoice } from '../stage/use-view';

const LAYOUT_NAMES: Record<Layout, string> = { auto: 'Auto', grid: 'Grid', speaker: 'Speaker', sidebar: 'Sidebar' };
const LAYOUT_ICONS: Record<Layout, ComponentType> = {
  auto: AutoLayoutIcon,
  grid: GridIcon,
  speaker: SpeakerLayoutIcon,
  sidebar: SidebarIcon,
};
const SELF_VIEW_NAMES: Record<SelfView, string> = {
  auto: 'Automatic',
  corner: 'Small, in a corner',
  tile: 'Among the others',
  hidden: 'Hidden',
};

interface MoreMenuProps {
  view: ViewChoice;
  onView: (change: Partial<ViewChoice>) => void;
  stats: boolean;
  onStats: (shown: boolean) => void;
  /** Shares the screen or stops; what the button for it does, for phones, where that is no more than a hint. */
  sharing: boolean;
  onShare: () => void;
  onSettings: () => void;
  onHelp: () => void;
}

/** What is wanted now and then: how the call looks, and what else there is. */
export function MoreMenu({ view, onView, stats, onStats, sharing, onShare, onSettings, onHelp }: MoreMenuProps) {
  const selfViewId = useId();
  return (
    <Popover label="More options" class="round" icon={<MoreIcon />}>
      {(close) => {
        const closing = (action: () => void) => () => {
          close();
          action();
        };
        return (
          <>
            <div class="layouts" role="group" aria-label="Layout">
              {LAYOUTS.map((layout) => {
                const Icon = LAYOUT_ICONS[layout];
                const chosen = view.layout === layout;
                return (
                  <button
                    key={layout}
                    class={chosen ? 'on' : ''}
                    aria-pressed={chosen}
                    onClick={() => onView({ layout, pinned: null })}
                  >
                    <Icon />
                    {LAYOUT_NAMES[layout]}
                  </button>
                );
              })}
            </div>
            <div class="field">
              <label for={selfViewId}>Your own picture</label>
              <select
                id={selfViewId}
                value={view.selfView}
                onChange={(event) => onView({ selfView: event.currentTarget.value as SelfView })}
              >
                {SELF_VIEWS.map((selfView) => (
                  <option key={selfView} value={selfView} selected={selfView === view.selfView}>
                    {SELF_VIEW_NAMES[selfView]}
                  </option>
                ))}
              </select>
            </div>
            <div class="menu">
              <Item icon={<ScreenIcon />} class="phone-only" onClick={closing(onShare)}>
                {sharing ? 'Stop sharing' : 'Share your screen'}
              </Item>
              {canFullScreen() && (
                <Item icon={<FullScreenIcon />} keys={keysOf(SHORTCUTS.fullScreen)} onClick={closing(toggleFullScreen)}>
                  {document.fullscreenElement ? 'Leave full screen' : 'Full screen'}
                </Item>
              )}
              {canPictureInPicture() && (
                <Item icon={<PictureInPictureIcon />} onClick={closing(() => void togglePictureInPicture())}>
                  Picture in picture
                </Item>
              )}
              <Item icon={<ChartIcon />} onClick={closing(() => onStats(!stats))}>
                {stats ? 'Hide statistics' : 'Statistics'}
              </Item>
              <Item icon={<SettingsIcon />} onClick={closing(onSettings)}>
                Settings
              </Item>
              <Item icon={<KeyboardIcon />} keys={keysOf(SHORTCUTS.help)} onClick={closing(onHelp)}>
                Keyboard shortcuts
              </Item>
            </div>
          </>
        );
      }}
    </Popover>
  );
}

interface ItemProps {
  icon: ComponentChildren;
  /** The shortcut that does the same. */
  keys?: string;
  class?: string;
  onClick: () => void;
  children: ComponentChildren;
}

function Item({ icon, keys, class: kind = '', onClick, children }: ItemProps) {
  return (
    <button class={kind} onClick={onClick}>
      {icon}
      <span>{children}</span>
      {keys && <kbd aria-hidden="true">{keys}</kbd>}
    </button>
  );
}
