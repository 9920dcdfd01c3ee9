"""Read by every Jupyter server that starts from the environment this project is installed in."""

from asyncio import Future

from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection


class PromptConnection(ZMQChannelsWebsocketConnection):
    """Sends the page every message at once.

    By default the operating system holds a short message back until the page has acknowledged the one before, which
    can take 40 ms (Nagle's algorithm); a move of a slider is answered by several short messages.
    """

    def connect(self) -> Future[None] | None:
        """Opens the connection of a page to its kernel."""
        self.websocket_handler.set_nodelay(True)
        return super().connect()


c = get_config()  # noqa: F821 - Jupyter hands it in
c.ServerApp.kernel_websocket_connection_class = PromptConnection
