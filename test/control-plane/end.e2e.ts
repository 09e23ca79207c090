import { endings } from './endings.ts';

endings({});
