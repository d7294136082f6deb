// A page that is opened from a folder may not start a worker, so the search of the theme runs in a
// hidden frame there. The interface is that of the package iframe-worker, which the theme expects.
class FrameWorker extends EventTarget {
  constructor(url) {
    super();
    this.frame = document.createElement("iframe");
    this.frame.hidden = true;
    document.body.append(this.frame);
    this.inside = this.frame.contentWindow;
    window.addEventListener("message", (event) => this.receive(event));
    this.inside.document.open();
    this.inside.document.write(page(url));
    this.inside.document.close();
    this.ready = new Promise((done) => (this.inside.onload = done));
  }

  receive(event) {
    if (event.source !== this.inside) return;
    this.dispatchEvent(new MessageEvent("message", { data: event.data }));
    this.onmessage?.(event);
  }

  postMessage(data) {
    this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })));
  }

  terminate() {
    this.frame.remove();
  }
}

// What a worker has in its scope: a way to answer, and one script after the other.
function page(url) {
  return `<html><body><script>
    postMessage = (data, where) => parent.postMessage(data, where || "*");
    importScripts = (...urls) => urls.reduce((before, url) => before.then(() =>
      new Promise((done) => {
        const script = document.createElement("script");
        script.src = url;
        script.onload = done;
        document.body.append(script);
      })), Promise.resolve());
  <\/script><script src="${url}"><\/script></body></html>`;
}

window.IFrameWorker = FrameWorker;
if (location.protocol === "file:") window.Worker = FrameWorker;
