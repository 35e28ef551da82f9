// One request about a story that is not open here, on a line of its own.

const PATIENCE_MS = 15_000;

/** Resumes `story`, sends `frame`, and waits for a frame of the type `until`. Rejects with what went wrong, in words. */
export function errand(url, { session_id, resume_key }, frame, until) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    const end = (settle, result) => {
      clearTimeout(timer);
      socket.onclose = null;
      socket.close();
      settle(result);
    };
    const timer = setTimeout(() => end(reject, new Error("The house does not answer. Try it again later.")), PATIENCE_MS);
    socket.onopen = () => socket.send(JSON.stringify({ action: "hello", v: 1, session_id, resume_key }));
    socket.onclose = () => end(reject, new Error("The house can't be reached. Try it again later."));
    socket.onmessage = ({ data }) => {
      const said = JSON.parse(data);
      if (said.type === "session.ready") socket.send(JSON.stringify(frame));
      else if (said.type === until) end(resolve, said);
      else if (said.type === "error") {
        end(reject, Object.assign(new Error(`${said.message} ${said.hint}`), { code: said.code }));
      }
    };
  });
}
