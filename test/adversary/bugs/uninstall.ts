/** An uninstall begins beside a live deploy. */
import { plant } from './plant.ts';

plant(
  '/src/gate/doors.ts',
  "if (after === 'uninstalling' && isVisible) return uninstallsItself(request) ? 'allow' : 'hold';",
  "if (after === 'uninstalling' && isVisible) return 'allow';",
);
