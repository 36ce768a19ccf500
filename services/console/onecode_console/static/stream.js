// Hear of facts: through the worker that all tabs share, or by a stream of this tab while it is looked at.
const HERE_MS = 45_000;

export function listen(topics, heard) {
  if (!topics.length) return;
  if ("SharedWorker" in window) shared(topics, heard);
  else own(topics, heard);
}

function shared(topics, heard) {
  const worker = new SharedWorker(new URL("./stream-worker.js", import.meta.url));
  worker.port.onmessage = (message) => heard(message.data);
  worker.port.start();
  const here = () => worker.port.postMessage({ topics });
  here();
  setInterval(here, HERE_MS);
  addEventListener("pagehide", () => worker.port.postMessage({ bye: true }));
  addEventListener("pageshow", (event) => { if (event.persisted) here(); });
}

function own(topics, heard) {
  let source = null;
  const names = ["reset", "run_progress", "run_finished", "model_version_ready", "rollout_changed",
    "dataset_version_committed", "policy_published", "alias_changed"];
  const follow = () => {
    source?.close();
    source = null;
    if (document.hidden) return;
    source = new EventSource(`/api/v1/events?topics=${encodeURIComponent(topics.join(","))}`);
    source.onopen = () => heard({ name: "open" });
    source.onerror = () => heard({ name: "closed" });
    for (const name of names) source.addEventListener(name, (event) => heard({ name, data: JSON.parse(event.data) }));
  };
  document.addEventListener("visibilitychange", follow);
  follow();
}
