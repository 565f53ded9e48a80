// Ghost text in notebooks and files, and the notebook the person looks at as context for the chat.
// It talks to the Jupyter server only; where the gateway is, and the token for it, the page never learns.

import type { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import type * as AppUtils from '@jupyterlab/apputils';
import type * as Completer from '@jupyterlab/completer';
import type * as CoreUtils from '@jupyterlab/coreutils';
import type * as NotebookPackage from '@jupyterlab/notebook';
import type * as Services from '@jupyterlab/services';

export type Use = (name: string) => Promise<unknown>;

interface Suggestion {
  text?: string;
  model?: string | null;
  error?: string;
}

/** Above the cursor's own cell, as much of the earlier cells as helps; cells in another language do not. */
const ABOVE_CHARACTERS = 3000;
const OUTPUT_CHARACTERS = 1000;

type Ask = (path: string, method: string, body: unknown, signal?: AbortSignal) => Promise<Response>;

export async function plugin(use: Use): Promise<JupyterFrontEndPlugin<void>> {
  const { Notification } = (await use('@jupyterlab/apputils')) as typeof AppUtils;
  const { ICompletionProviderManager } = (await use('@jupyterlab/completer')) as typeof Completer;
  const { URLExt } = (await use('@jupyterlab/coreutils')) as typeof CoreUtils;
  const { INotebookTracker } = (await use('@jupyterlab/notebook')) as typeof NotebookPackage;
  const { ServerConnection } = (await use('@jupyterlab/services')) as typeof Services;

  return {
    id: '@neuralinverse/lab:plugin',
    description: 'Ghost text and chat context through the AI gateway of the hub.',
    autoStart: true,
    requires: [ICompletionProviderManager, INotebookTracker],
    activate: (
      app: JupyterFrontEnd,
      completions: Completer.ICompletionProviderManager,
      notebooks: NotebookPackage.INotebookTracker,
    ): void => {
      const settings = app.serviceManager.serverSettings;
      const ask: Ask = (path, method, body, signal) =>
        ServerConnection.makeRequest(
          URLExt.join(settings.baseUrl, 'neuralinverse', path),
          { method, body: JSON.stringify(body), ...(signal ? { signal } : {}) },
          settings,
        );
      completions.registerInlineProvider(new GhostText(ask, (message) => Notification.warning(message, { autoClose: 8000 })));
      rememberNotebook(notebooks, ask);
    },
  };
}

class GhostText implements Completer.IInlineCompletionProvider {
  readonly identifier = '@neuralinverse/lab:ghost-text';
  readonly name = 'Neural Inverse';
  // The Lab waits this long after the last key, and gives up after the other; the person can change both.
  readonly schema = { default: { enabled: true, debouncerDelay: 250, timeout: 20000 } } as never;
  private readonly ask: Ask;
  private readonly warn: (message: string) => void;
  private running: AbortController | null = null;
  private failing = false;

  constructor(ask: Ask, warn: (message: string) => void) {
    this.ask = ask;
    this.warn = warn;
  }

  async fetch(
    request: Completer.CompletionHandler.IRequest,
    context: Completer.IInlineCompletionContext,
  ): Promise<Completer.IInlineCompletionList> {
    this.running?.abort();
    const running = new AbortController();
    this.running = running;
    try {
      const response = await this.ask(
        'complete',
        'POST',
        {
          before: request.text.slice(0, request.offset),
          after: request.text.slice(request.offset),
          language: language(request.mimeType),
          above: above(context),
          path: pathOf(context),
        },
        running.signal,
      );
      const suggestion = (await response.json()) as Suggestion;
      this.tell(suggestion.error);
      return { items: suggestion.text ? [{ insertText: suggestion.text }] : [] };
    } catch (error) {
      // Typing on cancels the request: that is no error, and any other must not stop the person from typing.
      if (!running.signal.aborted) {
        console.warn('No suggestion:', error);
      }
      return { items: [] };
    }
  }

  /** Say it once when suggestions stop coming, not at every key. */
  private tell(error: string | undefined): void {
    if (error !== undefined && !this.failing) {
      this.warn(error);
    }
    this.failing = error !== undefined;
  }
}

/** Cells have no MIME type of their own before their kernel has started. */
function language(mimeType: string | undefined): string {
  const named = /^text\/(?:x-)?(\w+)/.exec(mimeType ?? '')?.[1];
  return named === undefined || named === 'ipython' || named === 'plain' ? 'python' : named;
}

/** Where the file is: the server keeps back what the `.env` files beside it and above it hold. */
function pathOf(context: Completer.IInlineCompletionContext): string {
  const widget = context.widget as unknown as Partial<NotebookPackage.NotebookPanel>;
  return widget.context?.path ?? '';
}

function above(context: Completer.IInlineCompletionContext): string {
  const widget = context.widget as unknown as Partial<NotebookPackage.NotebookPanel>;
  const cells = widget.content?.widgets;
  const active = widget.content?.activeCellIndex;
  if (cells === undefined || active === undefined) {
    return '';
  }
  const sources = cells
    .slice(0, active)
    .filter((cell) => cell.model.type === 'code')
    .map((cell) => cell.model.sharedModel.getSource())
    .filter((source) => !source.startsWith('%%'));
  return sources.join('\n\n').slice(-ABOVE_CHARACTERS);
}

/** Just before the person asks the chat, tell the server which open notebook they used last, saved or not. */
function rememberNotebook(notebooks: NotebookPackage.INotebookTracker, ask: Ask): void {
  let sent = '';
  const tell = (event: Event): void => {
    if (!(event.target instanceof Element) || !event.target.closest('.jp-chat-input-container')) {
      return;
    }
    const panel = notebooks.currentWidget;
    const seen = panel !== null ? snapshot(panel) : {};
    const text = JSON.stringify(seen);
    if (text !== sent) {
      sent = text;
      ask('notebook', 'PUT', seen).catch((error) => {
        sent = '';
        console.warn('The chat does not know the notebook:', error);
      });
    }
  };
  document.addEventListener('focusin', tell, { capture: true });
}

function snapshot(panel: NotebookPackage.NotebookPanel): object {
  return {
    path: panel.context.path,
    active: panel.content.activeCellIndex,
    cells: panel.content.widgets.map((cell) => ({
      kind: cell.model.type,
      source: cell.model.sharedModel.getSource(),
      output: output(cell.model.toJSON().outputs),
    })),
  };
}

function output(outputs: unknown): string {
  const texts = (Array.isArray(outputs) ? outputs : []).map((shown) => {
    const text = shown.text ?? shown.data?.['text/plain'] ?? (shown.ename ? `${shown.ename}: ${shown.evalue}` : '');
    return Array.isArray(text) ? text.join('') : String(text);
  });
  return texts.join('\n').slice(-OUTPUT_CHARACTERS);
}
