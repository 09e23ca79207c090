/** Ages and rests of time change with every look, and say nothing new. */
const DURATION = /\b(\d+(\.\d+)?(d|h|ms|m|s))+\b/g;

/** Passes on a line unless it says no more than the line before. */
export function tellOnce(note: (line: string) => void): (line: string) => void {
  let told = '';
  return (line) => {
    const essence = line.replaceAll(DURATION, '');
    if (essence === told) return;
    told = essence;
    note(line);
  };
}
