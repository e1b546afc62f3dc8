// @ts-check

/**
 * The entry of the prebuilt extension: JupyterLab loads this file as a script and asks the
 * container that it registers for "./extension". The modules beside it need no build.
 * https://jupyterlab.readthedocs.io/en/stable/extension/extension_dev.html#prebuilt-extensions
 */
(() => {
  const { src } = /** @type {HTMLScriptElement} */ (document.currentScript);
  const { search } = new URL(src); // names the version: no cache mixes the files of two
  /** @param {string} name */
  const urlOf = (name) => new URL(name + search, src).href;
  /** @type {any} */
  let scope;

  /**
   * @param {string} name
   * @returns {Promise<any>} a package that JupyterLab shares
   */
  const shared = async (name) => {
    const versions = /** @type {any[]} */ (Object.values(scope[name]));
    const factory = await (versions.find(({ loaded }) => loaded) ?? versions[0]).get();
    return factory();
  };

  /** @param {string} name of a module beside this file */
  const load = (name) => import(urlOf(name));

  const addStyle = () => {
    const link = document.createElement("link");
    link.rel = "stylesheet";
    link.href = urlOf("controls.css");
    document.head.append(link);
  };

  const container = {
    /** @param {any} shareScope */
    init: (shareScope) => (scope = shareScope),
    get: async () => {
      addStyle();
      const modules = await Promise.all(["prompts.js", "answers.js"].map(load));
      const plugins = await Promise.all(modules.map(({ plugin }) => plugin(shared, load)));
      return () => ({ __esModule: true, default: plugins });
    },
  };
  const page = /** @type {any} */ (window);
  (page._JUPYTERLAB ??= {})["groq-magic"] = container;
})();
