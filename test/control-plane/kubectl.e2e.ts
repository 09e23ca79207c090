/** `kubectl delete rlock` on a real cluster, with its match conditions, its rights and its namespace controller. */
import { tellDeletions } from '../e2e/delete-stories.ts';

tellDeletions('4.1.4');
