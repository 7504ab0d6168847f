import { options, render } from 'preact';
import { takeToken } from './access';
import { readConfig } from './config';
import { App } from './ui/app';
import './ui/styles/base.css';
import './ui/styles/controls.css';
import './ui/styles/lobby.css';
import './ui/styles/call.css';
import './ui/styles/menus.css';
import './ui/styles/panels.css';
import './ui/styles/chat.css';
import './ui/styles/stats.css';

// In a task of its own: the server's requests are answered first, and with the answers the pictures start to come.
options.debounceRendering = (draw) => setTimeout(draw);

const root = document.getElementById('app');
// Taken first, because that may put the room into the URL.
const accessToken = takeToken(window);
if (root) render(<App config={readConfig(location.search, accessToken)} />, root);
