// Where the numbers come from: a server, or the file that the page itself is. Both answer the same
// four questions, and nothing else on the page knows which of them it is.

/**
 * @typedef {object} Source
 * @property {boolean} live Whether there may be news.
 * @property {number} [made] When, where this is a file.
 * @property {() => Promise<{title: string, runs: object[]}>} runs The list of runs.
 * @property {(name: string) => Promise<object>} run A run document, with a `stamp`.
 * @property {(name: string, phase: string, layer: string, step: string) => Promise<object>} spectrum
 *   With its `step`, which may be another than was asked for: the nearest that there is.
 * @property {(names: string[], news: News) => () => void} follow Tells of news until the function
 *   that it returns is called.
 */

/**
 * @typedef {object} News
 * @property {(name: string, stamp: string) => void} run A run is now as of this stamp.
 * @property {() => void} runs The list of runs has changed.
 * @property {(problem: string) => void} connected Why there is no connection now; empty where there
 *   is one.
 */

/** @returns {Source} */
export function source() {
  const data = JSON.parse(document.getElementById("fathom-data").textContent);
  return data.kind === "report" ? embedded(data) : served();
}

/** @returns {Source} A report: everything lies in the file. */
function embedded(data) {
  const documents = new Map(data.runs.map((run) => [run.name, run]));
  return {
    live: false,
    made: data.made,
    runs: async () => ({ title: data.title, runs: data.runs }),
    run: async (name) => documents.get(name) ?? absent(`There is no run ${name} in this report.`),
    spectrum: async (name, phase, layer, step) => {
      const steps = new Map(Object.entries(data.spectra[name]?.[phase] ?? {}));
      const there = [...steps.keys()].filter((each) => Object.hasOwn(steps.get(each), layer));
      if (!there.length) absent("This report holds no spectrum of that layer.");
      const nearest = there.includes(step) ? step : there.reduce((best, each) =>
        Math.abs(each - step) < Math.abs(best - step) ? each : best);
      return { ...steps.get(nearest)[layer], name, phase, layer, step: nearest, steps: there.sort((a, b) => a - b) };
    },
    follow: () => () => {},
  };
}

/** @returns {Source} The live page: everything comes from the server, also the news. */
function served() {
  return {
    live: true,
    runs: () => fetched("api/runs"),
    run: (name) => fetched("api/run", { name }),
    spectrum: async (name, phase, layer, step) =>
      ({ ...await fetched("api/spectrum", { name, phase, layer, step }), step }),
    follow,
  };
}

/** Get JSON; of an error, say what the server said. */
async function fetched(path, question = {}) {
  const query = new URLSearchParams(question);
  const answer = await fetch(query.size ? `${path}?${query}` : path, { cache: "no-cache" });
  if (answer.ok) return answer.json();
  const said = await answer.json().catch(() => ({}));
  throw Object.assign(new Error(said.error ?? `The server answers ${answer.status}.`),
    { status: answer.status });
}

const LOST = "Connection lost, trying again.";

// How long a window stays hidden before it stops to listen, in milliseconds.
const HIDDEN = 2000;

/**
 * Listen to the server. It begins every connection with the stamps as they are, so that whoever was
 * cut off learns what has changed meanwhile. A browser has six connections to a server, for all its
 * windows together: one that is hidden leaves its own to the others.
 */
function follow(names, news) {
  const query = new URLSearchParams(names.map((name) => ["name", name]));
  let stream, timer, pause = 500, problem = "", ended = false;
  const close = () => { clearTimeout(timer); stream?.close(); stream = null; };
  const open = () => {
    stream = new EventSource(`api/events?${query}`);
    stream.onopen = () => { pause = 500; news.connected(problem = ""); };
    stream.addEventListener("run", (event) => {
      const { name, stamp } = JSON.parse(event.data);
      news.run(name, stamp);
    });
    stream.addEventListener("runs", () => news.runs());
    stream.onerror = async () => {
      // The browser tries again by itself after some errors, not after all: never leave it to it.
      close();
      if (!document.hidden) timer = setTimeout(open, pause);
      pause = Math.min(2 * pause, 8000);
      news.connected(problem ||= LOST);
      const found = await refusal(query);
      if (!ended && stream?.readyState !== EventSource.OPEN) news.connected(problem = found);
    };
  };
  const turned = () => {
    if (document.hidden) {
      clearTimeout(timer);
      timer = setTimeout(close, HIDDEN);
    } else if (stream) clearTimeout(timer);
    else {
      close();
      open();
    }
  };
  document.addEventListener("visibilitychange", turned);
  if (!document.hidden) open();
  return () => {
    ended = true;
    document.removeEventListener("visibilitychange", turned);
    close();
  };
}

/** Why the server does not let this page listen; a stream that fails does not tell. */
async function refusal(query) {
  const answer = await fetch(`api/events?${query}`,
    { method: "HEAD", signal: AbortSignal.timeout(5000) }).catch(() => null);
  if (answer?.status === 401)
    return "The server was started anew: open the new link, which it printed.";
  if (answer?.status === 503) return "Too many pages listen to the server; trying again.";
  return LOST;
}

function absent(message) {
  throw Object.assign(new Error(message), { status: 404 });
}
