import { tellWhatComesNext } from './next.ts';

tellWhatComesNext('4.1.4');
