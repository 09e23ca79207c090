import { tellWhatComesNext } from './next.ts';

tellWhatComesNext('3.9.4');
