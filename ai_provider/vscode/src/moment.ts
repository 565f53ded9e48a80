/** What of a moment counts as somebody working. */

/** What is going on in the window at one moment. */
export interface Moment {
  /** Somebody used this window within the last moments. */
  used: boolean;
  tasks: number;
  /** Commands that run in terminals. */
  commands: number;
  debugging: boolean;
}

export function isActive(moment: Moment): boolean {
  return moment.used || moment.tasks > 0 || moment.commands > 0 || moment.debugging;
}
