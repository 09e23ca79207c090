import { directly, tellWhatComesNext } from './next.ts';

tellWhatComesNext('3.17.3', directly);
