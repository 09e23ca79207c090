import { tellWhatComesNext } from './next.ts';

tellWhatComesNext('3.17.3');
