/** An uninstall begins beside a live deploy. */
import { plant } from './plant.ts';

plant(
  '/src/gate/doors.ts',
  "if (after === 'uninstalling' && isVisible) return relation === 'same-job-pod' ? 'allow' : 'hold';",
  "if (after === 'uninstalling' && isVisible) return 'allow';",
);
