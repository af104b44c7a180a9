/** Asks the service in this container whether it is alive. */

import { connect } from "node:net";

/** Whether `/livez` answers 200; a plain socket, because it loads faster than a client. */
export function alive(port: number, milliseconds = 1500): Promise<boolean> {
	const { promise, resolve } = Promise.withResolvers<boolean>();
	const socket = connect({ host: "127.0.0.1", port }, () => {
		socket.write(
			"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
		);
	});
	setTimeout(() => resolve(false), milliseconds).unref();
	socket.once("error", () => resolve(false));
	socket.once("data", (head) =>
		resolve(head.toString("latin1").startsWith("HTTP/1.1 200")),
	);
	return promise.finally(() => socket.destroy());
}
