import { render } from 'preact';
import { app } from './chat';
import { setLanguage } from './i18n';
import { Page } from './ui/App';

setLanguage(app.settings.language);
void app.start();
render(<Page />, document.getElementById('page')!);
