/** What `sync.json` says, in the person's words. Pure; `status.ts` reads the file and shows it. */

export type SyncState = "restoring" | "protected" | "saving" | "behind" | "stopped";

export interface SyncStatus {
  readonly state: SyncState;
  readonly protectedAt: Date | undefined;
  /** Changes the git host does not have yet; -1: not counted. */
  readonly pending: number;
  readonly notProtected: readonly { readonly path: string; readonly reason: string }[];
  readonly error: string | undefined;
}

const STATES: readonly string[] = ["restoring", "protected", "saving", "behind", "stopped"];

/** The status in `text`; undefined when it is not one (half a file, another version): the last good one stays shown. */
export function parseStatus(text: string): SyncStatus | undefined {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof raw !== "object" || raw === null) return undefined;
  const status = raw as Record<string, unknown>;
  if (status["version"] !== 1 || !STATES.includes(String(status["state"]))) return undefined;
  const at = new Date(String(status["protected_at"] ?? ""));
  const list = Array.isArray(status["not_protected"]) ? (status["not_protected"] as unknown[]) : [];
  return {
    state: status["state"] as SyncState,
    protectedAt: Number.isNaN(at.getTime()) ? undefined : at,
    pending: typeof status["pending"] === "number" ? status["pending"] : -1,
    notProtected: list.flatMap((entry) => {
      const { path, reason } = (entry ?? {}) as { path?: unknown; reason?: unknown };
      return typeof path === "string" ? [{ path, reason: String(reason ?? "") }] : [];
    }),
    error: typeof status["error"] === "string" && status["error"] ? status["error"] : undefined,
  };
}

export interface Words {
  /** Name of a codicon. */
  readonly icon: string;
  readonly label: string;
  readonly sentence: string;
  readonly warning: boolean;
}

/** `status` in words; undefined: this workspace is not synced. */
export function describe(status: SyncStatus | undefined): Words {
  if (!status) return { icon: "circle-large-outline", label: "", sentence: "Saving to Git is not set up in this workspace.", warning: false };
  const at = status.protectedAt ? ` Last safe copy: ${clock(status.protectedAt)}.` : "";
  const besides = status.error ? ` ${status.error}` : "";
  switch (status.state) {
    case "protected":
      if (status.notProtected.length > 0) {
        const count = status.notProtected.length;
        return { icon: "pass", label: "Protected", sentence: `What you saved is on the git host, except ${count} ${count === 1 ? "path" : "paths"}.${at}${besides}`, warning: false };
      }
      return { icon: "pass", label: "Protected", sentence: `Everything you saved is on the git host.${at}${besides}`, warning: false };
    case "saving":
      return { icon: "sync~spin", label: "Saving", sentence: `What you saved is on its way to the git host.${at}`, warning: false };
    case "restoring":
      return { icon: "sync~spin", label: "Restoring", sentence: "Your files are being brought back from the git host.", warning: false };
    case "behind":
      return { icon: "warning", label: "Behind", sentence: `${status.error ?? "The git host could not be reached; it is tried again."}${at}`, warning: true };
    case "stopped":
      return { icon: "circle-slash", label: "Not saving", sentence: `${status.error ?? "Nothing is saved to the git host at the moment."}${at}`, warning: true };
  }
}

function clock(at: Date): string {
  return at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}
