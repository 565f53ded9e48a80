// The container JupyterLab loads first: it gives our plugin the Lab's own modules, so that tokens are the same objects.
// A plain script, because that is how the Lab loads containers; the plugin itself is an ES module beside it.

type Factory = () => unknown;
type Shared = Record<string, Record<string, { get: () => Promise<Factory> }>>;

(() => {
  const here = (document.currentScript as HTMLScriptElement).src;
  let shared: Shared = {};

  async function use(name: string): Promise<unknown> {
    const versions = Object.values(shared[name] ?? {});
    if (versions[0] === undefined) {
      throw new Error(`This JupyterLab does not share ${name}.`);
    }
    return (await versions[0].get())();
  }

  const containers = ((globalThis as Record<string, unknown>)['_JUPYTERLAB'] ??= {}) as Record<string, unknown>;
  containers['@neuralinverse/lab'] = {
    init(scope: Shared): void {
      shared = scope;
    },
    async get(): Promise<Factory> {
      const ours = await import(here.replace('remoteEntry', 'plugin'));
      const plugin = await ours.plugin(use);
      return () => ({ __esModule: true, default: plugin });
    },
  };
})();
